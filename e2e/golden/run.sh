#!/bin/sh
# Records golden bytes from Apache RocketMQ into the testdata directories of message,
# remoting and remoting/protocol. Needs a JDK of 17 or later; Maven as well, when RocketMQ
# is not in the cache yet.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${MILLRACE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/millrace}
lib=$cache/rocketmq-5.5.0/lib
if [ ! -d "$lib" ]; then
	mkdir -p "$cache"
	tmp=$(mktemp -d "$cache/rocketmq.XXXXXX")
	mvn -q -B -f "$root/internal/testenv/rocketmq-pom.xml" dependency:copy-dependencies -DoutputDirectory="$tmp/lib"
	mv "$tmp" "$cache/rocketmq-5.5.0"
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
javac -nowarn -Xlint:none -cp "$lib/*" -d "$work" "$here/Golden.java"
java -Duser.home="$work" --add-opens=java.base/java.nio=ALL-UNNAMED -cp "$work:$lib/*" Golden "${1:-$root}"
