#!/usr/bin/env bash
# Switches on each known bug and lets the fault suites look for it. Prints bug → suite; a
# bug that no suite finds fails.
set -uo pipefail
cd "$(dirname "$0")/.."
out=$(mktemp); trap 'rm -f "$out"' EXIT
packages=$(grep -rlE --include='*_test.go' '^//go:build seeded' . | xargs -n1 dirname | sort -u)
go test -tags seeded -count=1 -timeout 8m -p 2 -v -run 'Seeded' $packages >"$out" 2>&1
status=$?
echo "seeded bugs:"
awk '/^ *--- (PASS|FAIL): Test[^ ]*Seeded[^ ]*\// {
       split($3, part, "/"); printf "  %-28s %s  %s\n", part[2], ($2 == "PASS:" ? "found by" : "NOT FOUND by"), part[1] }' "$out" | sort
known=$(grep -rhoE --include='*.go' 'seeded\.On\("[a-z-]+"' . | sed -E 's/.*"([a-z-]+)"/\1/' | sort -u)
for bug in $known; do
  grep -qE -- "--- PASS: Test[^ ]*Seeded[^ ]*/$bug( |\$)" "$out" || { echo "  $bug: no suite found it"; status=1; }
done
[ $status -eq 0 ] || tail -40 "$out"
exit $status
