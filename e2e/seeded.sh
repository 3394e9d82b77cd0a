#!/usr/bin/env bash
# Switches on each known bug and lets the fault suites look for it. Prints bug → suite; a
# bug that no suite finds fails. Packages either bring a test of their own behind the build
# tag (Test…Seeded…, a subtest for each bug) or are listed in seeded.txt: there the
# ordinary suite has to fail, in a named test and with words that say what the bug does. A
# suite that fails for another reason has found nothing. Without the bug it passes: `go test`
# has run it before.
# Most of a suite that looks for a bug is waiting in vain, so several run beside each other.
# `seeded.sh build` builds them alone, into $SEEDEDDIR, where a run finds them.
set -uo pipefail
cd "$(dirname "$0")/.."
trap 'exit 130' INT TERM # else the next stage follows: what it interrupts ends with a status of its own
work=$(mktemp -d); export work
export SEEDEDDIR=${SEEDEDDIR:-$work}
trap 'rm -rf "$work"' EXIT
status=0
binary() { echo "$SEEDEDDIR/$(echo "$1" | tr -c 'a-z0-9\n' _).test"; }
build() { [ -x "$(binary "$1")" ] || go test -tags seeded -c -ldflags='-s -w' -o "$(binary "$1")" "$1"; }
# search package, tests, flags: runs tests of a package.
search() { (cd "$1" && "$(binary "$1")" -test.count=1 -test.timeout 15m -test.run "$2" "${@:3}" 2>&1); }
# failed bug package tests sign: whether a suite fails, as the bug makes it. It is told to wait
# for a minute only, so that a busy machine may make it fail in another way: it is run again.
failed() {
  local again
  for again in 1 2; do
    if MILLRACE_SEEDED_BUG=$1 MILLRACE_TEST_PATIENCE=60s search "$2" "$3" -test.failfast >"$work/out.$1"; then return 1; fi
    if grep -qE -- "$4" "$work/out.$1" && ! grep -q '^panic: ' "$work/out.$1"; then return 0; fi
  done
  return 2
}
# look bug package tests sign: the verdict is a line, with what the suite said where it found nothing.
look() {
  local bug=$1 package=$2 tests=$3 sign=$4 out=$work/out.$1
  failed "$bug" "$package" "$tests" "$sign"
  case $? in
    0) printf '  %-28s found by  %s (%s)\n' "$bug" "$(grep -m1 -oE -- '--- FAIL: Test[^ ]+' "$out" | cut -c11-)" "$package" ;;
    1) if grep -q '^skipped:' "$out"; then
         printf '  %-28s skipped (MILLRACE_SKIP)\n' "$bug"
       else
         printf '  %-28s NOT FOUND by  %s %s\n' "$bug" "$package" "$tests"
       fi ;;
    2) printf '  %-28s NOT FOUND: the suite fails, and not with "%s"\n' "$bug" "$sign"; tail -20 "$out" ;;
  esac >"$work/verdict.$bug"
}
own() { search "$1" Seeded -test.v >"$work/own.$(basename "$(binary "$1")")" || touch "$work/failed"; }
export -f binary build search failed look own
listed=$(grep -vE '^(#|$)' e2e/seeded.txt)
own=$(grep -rlE --include='*_test.go' '^//go:build seeded' . | xargs -n1 dirname | sort -u)
printf '%s\n' $own $(echo "$listed" | awk '{ print $2 }') | sort -u | xargs -P 2 -I{} bash -c 'build "$@"' _ {} || exit 1
[ "${1:-}" != build ] || exit 0
{ echo "$own" | sed 's/^/own /'; echo "$listed" | sed 's/^/look /'; } | xargs -P 6 -L 1 bash -c '"$@"' _
[ ! -e "$work/failed" ] || status=1
cat "$work"/own.* >"$work/own"
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
[ ! -e "$work/failed" ] || tail -40 "$work/own"
exit $status
