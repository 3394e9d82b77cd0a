#!/usr/bin/env bash
# Says what a build of the packages given will do and about how long it takes, when it is one
# that takes long: the first one, with modules to download or everything to compile.
set -eu
go=${GO:-go}
if [ ! -d "$($go env GOMODCACHE)/github.com/parquet-go" ]; then
  echo "building: the first time the Go modules are downloaded"
fi
stale=$($go list -deps -f '{{if .Stale}}{{.ImportPath}}{{end}}' "$@" | grep -c . || true)
[ "$stale" -gt 60 ] || exit 0
cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
# A package takes half a second of a core on average; the last ones have to wait for each other.
echo "building: $stale packages are compiled, which takes about $((stale / 2 / cores + 10)) s when the machine has nothing else to do"
