package ftc

import (
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap/ftc/eval"
	"github.com/flowtap/flowtap/flowtap/ftc/lang"
	"github.com/flowtap/flowtap/flowtap/ftc/program"
)

// benchPolicies are three policies over services: a WAF before what is public, a copy of what goes to
// databases, a log of what everybody sends.
const benchPolicies = `
vm(p, s) :- flowtap:ports(id=p, kind="vm"), flowtap:labels(p, "service", s)

redirected(p, port) :- vm(p, s), service(s, port), not exempt(p)
execute[flowtap:tap(p, m, "tcp,tp_dst={port}", "redirect", direction="in", priority=300)] :-
    redirected(p, port), waf(m)

execute[flowtap:tap(p, m, "udp,tp_dst={port}", "forward", direction="in", priority=200)] :-
    vm(p, s), service(s, port), ids(m)

execute[flowtap:tap(p, m, "tcp", "forward", direction="out", truncate=128)] :- vm(p, s), log(m, s)
`

func benchFacts(ports, services int) []eval.Change {
	var facts []eval.Change
	add := func(table string, row ...any) {
		c := eval.Change{Table: table}
		for _, v := range row {
			switch v := v.(type) {
			case string:
				c.Row = append(c.Row, lang.Str(v))
			case int:
				c.Row = append(c.Row, lang.Integer(int64(v)))
			}
		}
		facts = append(facts, c)
	}
	for i := range services {
		add("service", fmt.Sprintf("s%d", i), 1000+i)
		add("log", fmt.Sprintf("log%d", i%5), fmt.Sprintf("s%d", i))
	}
	add("waf", "waf1")
	add("ids", "ids1")
	add("exempt", "nobody")
	for i := range ports {
		id := fmt.Sprintf("port-%d", i)
		add("flowtap:ports", id, "net", "vm", id, fmt.Sprintf("02:00:00:%02x:%02x:%02x", i>>16, i>>8&255, i&255), "active")
		add("flowtap:labels", id, "service", fmt.Sprintf("s%d", i%services))
		add("flowtap:labels", id, "owner", fmt.Sprintf("team%d", i%17))
	}
	return facts
}

func benchProgram(tb testing.TB) *program.Program {
	given := map[string]bool{"service": true, "log": true, "waf": true, "ids": true, "exempt": true}
	p, ds := Load([]*lang.File{lang.NewFile("bench", benchPolicies)}, Options{Given: func(t string) bool { return given[t] }})
	require.Empty(tb, ds)
	return p
}

// cpuTime is what the process has used of all processors. A shared machine lets wall time say little.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchCompile compiles the taps of some ports, and reports what they and the engine occupy.
func benchCompile(b *testing.B, ports int) {
	p, facts := benchProgram(b), benchFacts(ports, 100)
	var occupied uint64
	var used time.Duration
	for b.Loop() {
		start := cpuTime()
		taps, ds := Compile("bench", p, facts, eval.Limits{})
		if len(ds) > 0 || taps.Len() != 3*ports {
			b.Fatal(taps.Len(), ds)
		}
		used += cpuTime() - start
		b.StopTimer()
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		runtime.KeepAlive(taps)
		taps = nil
		runtime.GC()
		runtime.ReadMemStats(&after)
		occupied = before.HeapAlloc - after.HeapAlloc
		b.StartTimer()
	}
	b.ReportMetric(float64(occupied)/(1<<20), "MB-kept")
	b.ReportMetric(float64(used.Milliseconds())/float64(b.N), "cpu-ms/op")
}

// 10,000 ports, 100 services, 3 policies: 30,000 taps.
func BenchmarkCompile30000Taps(b *testing.B) { benchCompile(b, 10_000) }

// Ten times that.
func BenchmarkCompile300000Taps(b *testing.B) { benchCompile(b, 100_000) }

// One VM more, then one less: an operation is the one or the other.
func BenchmarkOneVMMoreOrLess(b *testing.B) {
	p := benchProgram(b)
	e := eval.New(p, eval.Limits{})
	require.NoError(b, e.Apply(benchFacts(10_000, 100)))
	taps := NewTaps("bench", e)
	taps.Update()
	one := benchFacts(10_001, 100)
	one = one[len(one)-3:]
	start := cpuTime()
	defer func() { b.ReportMetric(float64(cpuTime()-start)/1e6/float64(b.N), "cpu-ms/op") }()
	for i := 0; b.Loop(); i++ {
		for j := range one {
			one[j].Delete = i%2 == 1
		}
		if err := e.Apply(one); err != nil {
			b.Fatal(err)
		}
		if c := taps.Update(); len(c.Put)+len(c.Delete) != 3 {
			b.Fatal(c)
		}
	}
}

// 10,000 rules are read and checked.
func BenchmarkCheck10000Rules(b *testing.B) {
	var text strings.Builder
	text.WriteString("table_0(port, value) :- flowtap:labels(port, \"key\", value)\n")
	for i := range 10_000 {
		fmt.Fprintf(&text, "table_%d(port, value) :-\n    flowtap:labels(port, \"key%d\", value),  // as labelled\n    flowtap:ports(id=port, network=net),\n    not table_%d(port, value), lt(value, \"zz%d\")\n", i+1, i, i, i)
	}
	b.SetBytes(int64(text.Len()))
	start := cpuTime()
	defer func() { b.ReportMetric(float64(cpuTime()-start)/1e6/float64(b.N), "cpu-ms/op") }()
	for b.Loop() {
		if p, ds := Load([]*lang.File{lang.NewFile("bench", text.String())}, Options{}); p == nil {
			b.Fatal(ds)
		}
	}
}
