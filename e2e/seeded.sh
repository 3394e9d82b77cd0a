#!/usr/bin/env bash
# Switches on each known bug and lets the fault suites look for it. Prints bug → suite; a
# bug that no suite finds fails. Packages either bring a test of their own behind the build
# tag (Test…Seeded…, a subtest for each bug) or are listed in seeded.txt: there the
# ordinary suite has to fail. It passes without the bug: `go test` has run it before.
set -uo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
status=0
packages=$(grep -rlE --include='*_test.go' '^//go:build seeded' . | xargs -n1 dirname | sort -u)
go test -tags seeded -count=1 -timeout 20m -p 2 -v -run 'Seeded' $packages >"$work/own" 2>&1 || status=1
echo "seeded bugs:"
awk '/^ *--- (PASS|FAIL): Test[^ ]*Seeded[^ ]*\// {
       split($3, part, "/"); printf "  %-28s %s  %s\n", part[2], ($2 == "PASS:" ? "found by" : "NOT FOUND by"), part[1] }' "$work/own" | sort -u
# bug package tests: the binary of a package is built once.
while read -r bug package tests; do
  case "$bug" in ''|'#'*) continue ;; esac
  binary="$work/$(echo "$package" | tr -c 'a-z0-9\n' _).test"
  [ -x "$binary" ] || go test -tags seeded -c -o "$binary" "$package" || { status=1; continue; }
  if (cd "$package" && MILLRACE_SEEDED_BUG=$bug MILLRACE_TEST_PATIENCE=60s "$binary" -test.count=1 -test.timeout 15m -test.failfast -test.run "$tests" >"$work/out" 2>&1); then
    if grep -q '^skipped:' "$work/out"; then
      printf '  %-28s skipped (MILLRACE_SKIP)\n' "$bug"
    else
      printf '  %-28s NOT FOUND by  %s %s\n' "$bug" "$package" "$tests"; status=1
    fi
  elif found=$(grep -m1 -oE '^ *--- FAIL: Test[^ ]+' "$work/out"); then
    printf '  %-28s found by  %s (%s)\n' "$bug" "${found##* }" "$package"
  else
    printf '  %-28s the suite ended without a verdict\n' "$bug"; tail -20 "$work/out"; status=1
  fi
  echo "$bug" >>"$work/listed"
done <e2e/seeded.txt
touch "$work/listed"
for bug in $(sed -nE 's/^.* Bug += "([a-z-]+)"$/\1/p' internal/seeded/bugs.go | sort -u); do
  grep -qx "$bug" "$work/listed" || grep -qE -- "--- PASS: Test[^ ]*Seeded[^ ]*/$bug( |\$)" "$work/own" ||
    { echo "  $bug: no suite found it"; status=1; }
done
[ $status -eq 0 ] || tail -40 "$work/own"
exit $status
