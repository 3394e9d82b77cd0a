#!/usr/bin/env bash
# Runs every fuzz target of the tree for the given time, two at a time.
set -uo pipefail
cd "$(dirname "$0")/.."
time=${1:-10s}
grep -rhoE --include='*_test.go' -H '^func Fuzz[A-Za-z0-9_]+' . | sed -E 's#^\./(.*)/[^/]+_test\.go:func (Fuzz[A-Za-z0-9_]+)#\1 \2#' | sort -u |
  xargs -P 2 -L 1 bash -c '
    out=$(go test -run "^$" -fuzz "^$2\$" -fuzztime "$0" -parallel 1 "./$1" 2>&1)
    if [ $? -ne 0 ]; then echo "FAIL $1 $2"; echo "$out"; exit 255; fi
    echo "ok   $1 $2 $(echo "$out" | grep -oE "execs: [0-9]+" | tail -1)"' "$time"
