#!/usr/bin/env bash
# Names every tool that is missing or too old, with the command that installs it.
set -u
missing=0
say() { echo "millrace needs $1: $2" >&2; missing=1; }
command -v git >/dev/null || say "git" "apt-get install git"
if ! command -v go >/dev/null; then
  say "Go 1.26 or later" "see https://go.dev/doc/install, then put its bin directory on PATH"
else
  have=$(go env GOVERSION 2>/dev/null | sed 's/^go//; s/[^0-9.].*//')
  IFS=. read -r major minor _ <<<"$have"
  if [ "${major:-0}" -lt 1 ] || { [ "$major" -eq 1 ] && [ "${minor:-0}" -lt 26 ]; }; then
    say "Go 1.26 or later, found $have" "see https://go.dev/doc/install"
  fi
fi
exit $missing
