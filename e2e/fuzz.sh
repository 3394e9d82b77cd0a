#!/usr/bin/env bash
# Runs every fuzz target of the tree for the given time, two at a time. Each package is
# built once with coverage instrumentation; `fuzz.sh build` does that alone, into $FUZZDIR,
# where a run finds it. What is found is kept as a seed in testdata.
# Inputs that reach new code are made smaller with 50 tries at most: with the engine's
# minute, a target whose seed is a file of some kilobytes did nothing else for its time.
set -uo pipefail
cd "$(dirname "$0")/.."
trap 'exit 130' INT TERM # else the next stage follows: what it interrupts ends with a status of its own
export FUZZTIME=${1:-10s}
if [ -z "${FUZZDIR:-}" ]; then
  FUZZDIR=$(mktemp -d)
  trap 'rm -rf "$FUZZDIR"' EXIT
fi
export FUZZDIR
targets=$(grep -rhoE --include='*_test.go' -H '^func Fuzz[A-Za-z0-9_]+' . |
  sed -E 's#^\./(.*)/[^/]+_test\.go:func (Fuzz[A-Za-z0-9_]+)#\1 \2#' | sort -u)
build() {
  local binary="$FUZZDIR/$(echo "$1" | tr / _).test"
  [ -x "$binary" ] || go test -c -fuzz=. -ldflags='-s -w' -o "$binary" "./$1"
}
once() {
  binary="$FUZZDIR/$(echo "$1" | tr / _).test"
  (cd "$1" && "$binary" -test.run '^$' -test.fuzz "^$2\$" -test.fuzztime "$FUZZTIME" -test.parallel 1 -test.fuzzminimizetime 50x -test.fuzzcachedir "$FUZZDIR/cache/$1" 2>&1)
}
# Go's fuzzing engine can take its own deadline for a failure when the machine is busy at
# that moment (golang/go#75804): nothing is found, and it says only that. Such a run is
# made again, four times at most: an input that hangs would come back.
fuzz() {
  for again in 1 2 3 4 no; do
    out=$(once "$@")
    code=$?
    if [ $code -eq 0 ] || [ $again = no ] || echo "$out" | grep -vE '^(fuzz: elapsed: |--- FAIL: |FAIL$|    context deadline exceeded$)' | grep -q .; then break; fi
    echo "     $1 $2: the engine took its deadline for a failure; once more"
  done
  if [ $code -ne 0 ]; then echo "FAIL $1 $2"; echo "$out"; return 1; fi
  echo "ok   $1 $2 $(echo "$out" | grep -oE 'execs: [0-9]+' | tail -1)"
}
export -f build once fuzz
echo "$targets" | cut -d' ' -f1 | sort -u | xargs -P 2 -I{} bash -c 'build "$@"' _ {} || exit 1
[ "$FUZZTIME" != build ] || exit 0
echo "$targets" | xargs -P 2 -L 1 bash -c 'fuzz "$@"' _
