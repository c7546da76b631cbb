# A table of the medians of `go test -bench -benchmem -count N` lines, against the aims.
BEGIN {
	most["openflow.EncodeFlowMod", "ns"] = 1000
	most["openflow.EncodeFlowMod", "allocs"] = 2
	most["openflow.DecodeFlowStatsEntry", "ns"] = 1000
}
{
	name = $1
	sub(/-[0-9]+$/, "", name)
	if (!(name in runs)) names[++n] = name
	r = ++runs[name]
	more[name] = ""
	for (i = 3; i < NF; i += 2) {
		if ($(i + 1) == "ns/op") ns[name, r] = $i
		else if ($(i + 1) == "allocs/op") allocs[name, r] = $i
		else if ($(i + 1) == "B/op") bytes[name, r] = $i
		else more[name] = more[name] sprintf("  %s %s", $i, $(i + 1))
	}
}
function median(a, name,    v, i, j, t) {
	for (i = 1; i <= runs[name]; i++) v[i] = a[name, i] + 0
	for (i = 2; i <= runs[name]; i++)
		for (j = i; j > 1 && v[j] < v[j - 1]; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
	return v[int((runs[name] + 1) / 2)]
}
function text(ns) {
	if (ns < 10000) return sprintf("%.0f ns", ns)
	if (ns < 10000000) return sprintf("%.1f µs", ns / 1000)
	return sprintf("%.1f ms", ns / 1000000)
}
END {
	printf "  %-58s %12s %12s %10s  %s\n", "", "time", "bytes", "allocs", "aim"
	for (k = 1; k <= n; k++) {
		name = names[k]
		aim = ""
		if ((name, "ns") in most) aim = "at most " text(most[name, "ns"]) (median(ns, name) > most[name, "ns"] ? " !" : "")
		if ((name, "allocs") in most) aim = aim ", " most[name, "allocs"] " allocs" (median(allocs, name) > most[name, "allocs"] ? " !" : "")
		printf "  %-58s %12s %12d %10d  %s%s\n", name, text(median(ns, name)), median(bytes, name), median(allocs, name), aim, more[name]
	}
}
