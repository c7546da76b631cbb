#!/bin/sh
# Runs every native fuzz target for a while, one after the other: sh scripts/fuzz.sh 5s
set -eu
time=${1:-5s}
grep -rl --include='*_test.go' '^func Fuzz' . | sort | while read -r file; do
	dir=$(dirname "$file")
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file"); do
		echo "fuzz $dir $target for $time"
		${GO:-go} test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$dir" >"/tmp/fuzz.$$" 2>&1 || {
			cat "/tmp/fuzz.$$"
			rm -f "/tmp/fuzz.$$"
			exit 1
		}
		rm -f "/tmp/fuzz.$$"
	done
done
