#!/usr/bin/env bash
# Switches on each known bug and lets the fault suites look for it. Prints bug → suite; a
# bug that no suite finds fails. Packages either bring a test of their own behind the build
# tag (Test…Seeded…, a subtest for each bug) or are listed in seeded.txt: there the
# ordinary suite has to fail. It passes without the bug: `go test` has run it before.
# Most of a suite that looks for a bug is waiting in vain, so several run beside each other.
set -uo pipefail
cd "$(dirname "$0")/.."
trap 'exit 130' INT TERM # else the next stage follows: what it interrupts ends with a status of its own
work=$(mktemp -d); export work
running=
trap '[ -z "$running" ] || kill -INT -- "-$running"; rm -rf "$work"' EXIT
status=0
binary() { echo "$work/$(echo "$1" | tr -c 'a-z0-9\n' _).test"; }
build() { go test -tags seeded -c -ldflags='-s -w' -o "$(binary "$1")" "$1"; }
# look bug package tests: the verdict is a file that says FAIL where it is not as it should be.
look() {
  local bug=$1 package=$2 tests=$3 out=$work/out.$1 found
  if (cd "$package" && MILLRACE_SEEDED_BUG=$bug MILLRACE_TEST_PATIENCE=60s "$(binary "$package")" -test.count=1 -test.timeout 15m -test.failfast -test.run "$tests" >"$out" 2>&1); then
    if grep -q '^skipped:' "$out"; then
      printf '  %-28s skipped (MILLRACE_SKIP)\n' "$bug"
    else
      printf '  %-28s NOT FOUND by  %s %s\n' "$bug" "$package" "$tests"
    fi
  elif found=$(grep -m1 -oE '^ *--- FAIL: Test[^ ]+' "$out"); then
    printf '  %-28s found by  %s (%s)\n' "$bug" "${found##* }" "$package"
  else
    printf '  %-28s the suite ended without a verdict\n' "$bug"; tail -20 "$out"
  fi >"$work/verdict.$bug"
}
export -f binary build look
listed=$(grep -vE '^(#|$)' e2e/seeded.txt)
own=$(grep -rlE --include='*_test.go' '^//go:build seeded' . | xargs -n1 dirname | sort -u)
set -m # a group of its own, which an interrupt reaches through the trap
go test -vet=off -tags seeded -count=1 -timeout 20m -p 2 -v -run 'Seeded' $own >"$work/own" 2>&1 &
running=$!
set +m
echo "$listed" | awk '{ print $2 }' | sort -u | xargs -P 2 -I{} bash -c 'build "$@"' _ {} || status=1
echo "$listed" | xargs -P 4 -L 1 bash -c 'look "$@"' _
wait "$running" || status=1
running=
echo "seeded bugs:"
awk '/^ *--- (PASS|FAIL): Test[^ ]*Seeded[^ ]*\// {
       split($3, part, "/"); printf "  %-28s %s  %s\n", part[2], ($2 == "PASS:" ? "found by" : "NOT FOUND by"), part[1] }' "$work/own" | sort -u
for bug in $(echo "$listed" | awk '{ print $1 }'); do
  cat "$work/verdict.$bug"
  grep -qE '^  [^ ]+ +(found by|skipped)' "$work/verdict.$bug" || status=1
done
for bug in $(sed -nE 's/^.* Bug += "([a-z-]+)"$/\1/p' internal/seeded/bugs.go | sort -u); do
  [ -e "$work/verdict.$bug" ] || grep -qE -- "--- PASS: Test[^ ]*Seeded[^ ]*/$bug( |\$)" "$work/own" ||
    { echo "  $bug: no suite found it"; status=1; }
done
[ $status -eq 0 ] || tail -40 "$work/own"
exit $status
