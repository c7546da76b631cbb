#!/bin/sh
# Runs every native fuzz target of the tree, one after the other: sh scripts/fuzz.sh SECONDS
# SECONDS is the time for all together; each target gets an equal share, and two seconds at least.
# What makes one fail is written to testdata/fuzz beside the target: keep it there with the correction.
set -eu
total=${1:-40}
go=${GO:-go}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT INT TERM

# Lines of "directory target".
grep -r --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*(f \*testing\.F)' . |
	sed -n 's|^\(.*\)/[^/]*:func \(Fuzz[A-Za-z0-9_]*\)(.*|\1 \2|p' | sort >"$scratch/targets"
count=$(wc -l <"$scratch/targets")
[ "$count" -gt 0 ]
share=$((${total%s} / count))
[ "$share" -ge 2 ] || share=2

built=
while read -r dir target; do
	if [ "$dir" != "$built" ]; then
		"$go" test -c -fuzz . -o "$scratch/fuzz.test" "$dir"
		built=$dir
	fi
	echo "fuzz $dir $target for $share s"
	cache=$("$go" env GOCACHE)/fuzz/flowtap/$dir
	(cd "$dir" && "$scratch/fuzz.test" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "${share}s" \
		-test.fuzzcachedir "$cache") >"$scratch/out" 2>&1 || {
		# When the time runs out while a worker is busy, package testing may call that a failure, with this
		# text and nothing else. What a target itself finds always comes with the input that did it.
		if ! grep -qx '    context deadline exceeded' "$scratch/out" || grep -qE 'Failing input|seed corpus|panic' "$scratch/out"; then
			cat "$scratch/out"
			exit 1
		fi
	}
done <"$scratch/targets"
