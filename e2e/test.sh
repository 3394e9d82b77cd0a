#!/usr/bin/env bash
# Every test. Packages run two at a time, and those that start JVMs one by one behind
# them, since RocketMQ's tools give up after three seconds. The seeds of the fuzz targets
# run as tests, then each target runs for ten seconds of its own, then each seeded bug is
# looked for. MILLRACE_SKIP=name,… leaves servers out; what was left out is listed at the end.
set -uo pipefail
cd "$(dirname "$0")/.."
MILLRACE_SKIP_LIST=$(mktemp)
export MILLRACE_SKIP_LIST
trap 'rm -f "$MILLRACE_SKIP_LIST"' EXIT
status=0
jvm=$(grep -rlE --include='*_test.go' 'NeedRocketMQ|FetchRocketMQ' . | xargs -n1 dirname | sort -u)
others=$(go list ./... | grep -vxF "$(echo "$jvm" | sed 's#^\.#github.com/millrace/millrace#')")
go test -timeout 40m -p 2 $others || status=1
go test -timeout 40m -p 1 $jvm || status=1
./e2e/fuzz.sh "${FUZZTIME:-10s}" || status=1
./e2e/seeded.sh || status=1
if [ -s "$MILLRACE_SKIP_LIST" ]; then
  echo; echo "skipped (MILLRACE_SKIP=${MILLRACE_SKIP:-}):"; sort -u "$MILLRACE_SKIP_LIST" | sed 's/^/  /'
fi
exit $status
