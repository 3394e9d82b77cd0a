#!/usr/bin/env bash
# Every test. Packages run one after another where they start servers; the seeds of the
# fuzz targets run as tests, then each target runs for ten seconds of its own.
# MILLRACE_SKIP=name,… leaves servers out; what was left out is listed at the end.
set -uo pipefail
cd "$(dirname "$0")/.."
skipped=$(mktemp)
export MILLRACE_SKIP_LIST=$skipped
trap 'rm -f "$skipped"' EXIT
status=0
go vet ./... || status=1
go test -timeout 12m -p 2 ./... || status=1
./e2e/fuzz.sh "${FUZZTIME:-10s}" || status=1
./e2e/seeded.sh || status=1
if [ -s "$skipped" ]; then
  echo; echo "skipped (MILLRACE_SKIP=${MILLRACE_SKIP:-}):"; sort -u "$skipped" | sed 's/^/  /'
fi
exit $status
