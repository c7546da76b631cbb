#!/bin/sh
# All benchmarks: Go's, with a table of medians, then those on the lab. docs/BENCHMARKS.md says what they are.
#
#   sh scripts/bench.sh [--quick] [--go-only | --lab-only] [what test/mininet/bench.py takes ...]
#
# COUNT and BENCHTIME tune the Go part. Nothing is asserted about time; the exit code is not 0 when
# a benchmark or the lab is broken.
set -eu
cd "$(dirname "$0")/.."

quick='' go=1 lab=1
for arg; do
	shift
	case $arg in
	--go-only) lab='' ;;
	--lab-only) go='' ;;
	*) set -- "$@" "$arg" ;;
	esac
	[ "$arg" != --quick ] || quick=1
done

go_benchmarks() {
	count=${COUNT:-5}
	time=${BENCHTIME:-0.2s}
	if [ -n "$quick" ]; then
		count=${COUNT:-3} time=${BENCHTIME:-0.05s}
	fi

	results=$(mktemp)
	trap 'rm -f "$results"' EXIT
	echo "Go benchmarks, median of $count runs; load average $(cut -d' ' -f1-3 /proc/loadavg)"
	for dir in $(grep -rl --include='*_test.go' '^func Benchmark' . | xargs -n1 dirname | sort -u); do
		printf '  %s ...\n' "$dir" >&2
		# These fill a store with thousands of taps first and report percentiles of their own: once is enough.
		case $dir in
		./store | ./northbound) n=1 t=100x ;;
		*) n=$count t=$time ;;
		esac
		if ! "${GO:-go}" test -run '^$' -bench . -benchmem -count "$n" -benchtime "$t" "$dir" >"$results.one" 2>&1; then
			cat "$results.one" >&2
			rm -f "$results.one"
			echo "bench: the benchmarks of $dir failed, see above" >&2
			exit 1
		fi
		sed -n "s|^Benchmark|${dir#./}.|p" "$results.one" >>"$results"
		rm -f "$results.one"
	done
	awk -f scripts/bench.awk "$results"
	rm -f "$results"
}

[ -z "$go" ] || go_benchmarks
[ -n "$lab" ] || exit 0
as_root=
if [ "$(id -u)" != 0 ]; then
	echo "The lab makes network namespaces, which needs root; asking sudo."
	as_root=sudo
fi
echo
exec $as_root /usr/bin/python3 test/mininet/bench.py "$@"
