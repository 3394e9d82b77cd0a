#!/usr/bin/env bash
# Every test. Packages run five at a time, those that take longest first: much of each is
# waiting. Those that start JVMs run one by one behind them, since RocketMQ's tools give up
# after three seconds; what they leave of the machine builds what comes last: each fuzz target
# runs for five seconds (its seeds have run as tests), and each seeded bug is looked for,
# mostly by waiting in vain, at the same time. `make lint` is what vets. MILLRACE_SKIP=name,…
# leaves servers out; what was left out is listed at the end, below what each stage took.
set -uo pipefail
cd "$(dirname "$0")/.."
trap 'exit 130' INT TERM # else the next stage follows: what it interrupts ends with a status of its own
work=$(mktemp -d)
export MILLRACE_SKIP_LIST=$work/skipped FUZZDIR=$work/fuzz SEEDEDDIR=$work/seeded
mkdir "$FUZZDIR" "$SEEDEDDIR"
group=
trap '[ -z "$group" ] || kill -INT -- "-$group"; rm -rf "$work"' EXIT
status=0
module=github.com/millrace/millrace
jvm=$(grep -rlE --include='*_test.go' 'NeedRocketMQ|FetchRocketMQ' . | xargs -n1 dirname | sort -u | sed "s#^\.#$module#")
# The tail of a run is not to be one long package alone.
long=$(printf "$module/%s\n" sinks/clickhouse sinks/parquet connectors/mysql e2e/faults e2e/selfcheck e2e/demo connectors/mysql/readback pipeline/runner e2e/columns)
packages=$(go list ./...) || exit 1
others=$(echo "$packages" | grep -vxF "$jvm")
missing=$(echo "$long" | grep -vxF "$others")
if [ -n "$missing" ]; then echo "e2e/test.sh names packages that are not there: $missing"; exit 1; fi
stage() {
  local began=$SECONDS
  "${@:2}" || status=1
  took+="$(printf '%4d s  %s' $((SECONDS - began)) "$1")"$'\n'
}
took=
stage 'packages' go test -vet=off -timeout 40m -p 5 $long $(echo "$others" | grep -vxF "$long")
# beside command: runs it in a group of its own, which an interrupt reaches through the trap.
beside() { set -m; "$@" & group=$!; set +m; }
joined() { wait "$group"; local code=$?; group=; return $code; }
searches() {
  beside ./e2e/seeded.sh >"$work/searches" 2>&1
  ./e2e/fuzz.sh "${FUZZTIME:-5s}"
  local code=$?
  joined || code=1
  cat "$work/searches"
  return $code
}
beside nice -n 19 bash -c './e2e/seeded.sh build; ./e2e/fuzz.sh build'
stage 'packages with JVMs' go test -vet=off -timeout 40m -p 1 $jvm
joined # what does not build says so once more in its stage
stage 'fuzz targets, seeded bugs beside them' searches
printf '\n%s' "$took"
if [ -s "$MILLRACE_SKIP_LIST" ]; then
  echo; echo "skipped (MILLRACE_SKIP=${MILLRACE_SKIP:-}):"; sort -u "$MILLRACE_SKIP_LIST" | sed 's/^/  /'
fi
exit $status
