package ftc

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/flowtap/ftc/eval"
	"github.com/flowtap/flowtap/flowtap/ftc/lang"
	"github.com/flowtap/flowtap/flowtap/ftc/program"
	"github.com/flowtap/flowtap/topology"
)

func load(t require.TestingT, policy string) *program.Program {
	p, ds := Load([]*lang.File{lang.NewFile("policy", policy)}, Options{Given: func(string) bool { return true }})
	require.NotNil(t, p, ds.String())
	return p
}

func facts(t require.TestingT, json string) []eval.Change {
	f, err := ReadFacts([]byte(json))
	require.NoError(t, err)
	return f
}

// compiled gives the taps of a policy that has no faults.
func compiled(t require.TestingT, id, policy, json string) []Wanted {
	taps, ds := Compile(id, load(t, policy), facts(t, json), eval.Limits{})
	require.Empty(t, ds.String())
	return taps.All()
}

func TestTapIDsLast(t *testing.T) {
	const policy = `execute[flowtap:tap(p, m, f, a, direction="in")] :- want(p, m, f, a)`
	one := func(id, row string) string {
		taps := compiled(t, id, policy, `{"want": [`+row+`]}`)
		require.Len(t, taps, 1)
		require.NoError(t, topology.ValidID(taps[0].ID))
		return taps[0].ID
	}
	id := one("shop", `["web", "ids1", "tcp,tp_dst=80", "forward"]`)
	assert.Equal(t, id, one("shop", `["web", "ids2", "tcp,tp_dst=80", "forward"]`), "another monitor")
	assert.Equal(t, id, one("shop", `["web", "ids1", "tcp,tp_dst=80", "redirect"]`), "another action")
	assert.Equal(t, id, one("shop", `["web", "ids1", "tp_dst = 0x50; nw_proto = TCP; dl_src=*", "forward"]`), "another spelling")
	others := []string{
		one("shop2", `["web", "ids1", "tcp,tp_dst=80", "forward"]`),
		one("shop", `["web2", "ids1", "tcp,tp_dst=80", "forward"]`),
		one("shop", `["web", "ids1", "tcp,tp_dst=81", "forward"]`),
		one("a-policy-with-quite-a-long-id-indeed-which-is-allowed", `["web", "ids1", "", "forward"]`),
	}
	assert.NotContains(t, others, id)
}

func TestSpellingsOfOneTapAreOneTap(t *testing.T) {
	taps := compiled(t, "shop", `execute[flowtap:tap("web", "ids1", f, "forward")] :- want(f)`,
		`{"want": [["tcp,tp_dst=80"], ["nw_proto=TCP; tp_dst=80"]]}`)
	assert.Len(t, taps, 1)
}

func TestEveryFieldOfATap(t *testing.T) {
	taps := compiled(t, "shop", `execute[flowtap:tap(src="web", dst_pool="ids", match="tcp", action="forward", direction="out", priority=7,
		enabled="false", truncate=64, rate_kbps=9, rewrite_dst_mac="true")]`, `{}`)
	require.Len(t, taps, 1)
	match, err := flowtap.ParseMatch("tcp")
	require.NoError(t, err)
	assert.Equal(t, flowtap.Tap{Src: "web", DstPool: "ids", Match: match, Action: flowtap.Forward, Direction: flowtap.Out, Priority: 7,
		FailMode: flowtap.FailClosed, Truncate: 64, RateLimit: flowtap.RateLimit{KBPS: 9}, RewriteDstMAC: true}, taps[0].Tap)
}

func TestOverlapsNameRulesAndRows(t *testing.T) {
	_, ds := Compile("shop", load(t, `execute[flowtap:tap(p, "waf1", "tcp,tp_dst={d}", "redirect", direction="in")] :- service(p, d)
execute[flowtap:tap(p, "ids1", "tcp", "forward")] :- watched(p), not trusted(p)`),
		facts(t, `{"service": [["web", 80], ["db", 3306]], "watched": [["web"]]}`), eval.Limits{})
	require.Len(t, ds, 1)
	assert.Equal(t, `policy:1:1: error: two taps of port web overlap: both have incoming a frame with tcp,tp_dst=80
    execute[flowtap:tap(p, "waf1", "tcp,tp_dst={d}", "redirect", direction="in")] :- service(p, d)
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    = one follows from service("web", 80)
policy:2:1: note: the other follows from watched("web"), not trusted("web"); give one of them another priority
    execute[flowtap:tap(p, "ids1", "tcp", "forward")] :- watched(p), not trusted(p)
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
`, ds.String())
}

func TestRowsThatAreNoTaps(t *testing.T) {
	const policy = `execute[flowtap:tap(p, m, f, a, direction=d, priority=n)] :- want(p, m, f, a, d, n)`
	for row, want := range map[string]string{
		`["Web", "m", "", "forward", "in", 1]`:                 `src: "Web" is not an id`,
		`["web", "", "", "forward", "in", 1]`:                  "dst: is required",
		`["web", "web", "", "forward", "in", 1]`:               "dst: is the target itself",
		`["web", "m", "tcp,udp", "forward", "in", 1]`:          "nw_proto",
		`["web", "m", "", "copy", "in", 1]`:                    `action: "copy"`,
		`["web", "m", "", "forward", "sideways", 1]`:           `direction: "sideways"`,
		`["web", "m", "", "forward", "in", 1001]`:              "priority: 1001: want 0 to 1000",
		`["web", "m", "", "forward", "in", 1000000000000000]`:  "priority: 1000000000000000",
		`["web", "m", "", "forward", "in", "high"]`:            `priority: "high" is a string, not an integer`,
		`["web", "m", "table=out", "forward", "in", 1]`:        "table=out contradicts direction in",
		`[7, "m", "", "forward", "in", 1]`:                     "src: 7 is an integer, not a string",
		`["web", 7, "", "forward", "in", 1]`:                   "dst: 7 is an integer, not a string",
		`["web", "m", "in_port=Web 1", "forward", "in", 1]`:    "in_port",
		`["web", "m", "tcp,tp_dst={x}", "forward", "in", 1.0]`: "tp_dst",
	} {
		_, ds := Compile("shop", load(t, policy), facts(t, `{"want": [`+row+`]}`), eval.Limits{})
		require.Len(t, ds, 1, row)
		assert.Contains(t, ds[0].Message, want, row)
		assert.Contains(t, ds[0].Hint, "it follows from want(", row)
		line, _ := ds[0].Span.Position()
		assert.Equal(t, 1, line)
	}
}

// A monitor that is a number is that tap's fault alone, for as long as it is there, also where a placement would find one.
func TestAFaultIsNoOtherTaps(t *testing.T) {
	for _, placement := range []string{"", "placement hybrid\nexecute[flowtap:tap(p, match=\"tcp\", action=\"forward\")] :- placed(p)\n"} {
		for _, badFirst := range []bool{false, true} {
			e := eval.New(load(t, placement+`execute[flowtap:tap(p, m, "", "forward")] :- want(p, m)`), eval.Limits{})
			taps := NewTaps("shop", e)
			bad, good := facts(t, `{"want": [["a", 7]]}`), facts(t, `{"want": [["b", "m1"]]}`)
			first, second := good, bad
			if badFirst {
				first, second = bad, good
			}
			for _, rows := range [][]eval.Change{first, second} {
				require.NoError(t, e.Apply(rows))
				taps.Update()
			}
			require.Len(t, taps.Faults(), 1)
			assert.Equal(t, "a tap that cannot be: dst: 7 is an integer, not a string", taps.Faults()[0].Message)
			assert.Equal(t, `it follows from want("a", 7)`, taps.Faults()[0].Hint)
			bad[0].Delete = true
			require.NoError(t, e.Apply(bad))
			taps.Update()
			assert.Empty(t, taps.Faults())
			require.Len(t, taps.All(), 1)
			assert.Equal(t, "m1", taps.All()[0].Tap.Dst)
		}
	}
}

func TestManyFaultsAreSaidShortly(t *testing.T) {
	var rows []string
	for i := range 100 {
		rows = append(rows, fmt.Sprintf(`["p%d", "Bad"]`, i))
	}
	_, ds := Compile("shop", load(t, `execute[flowtap:tap(p, m, "", "forward")] :- want(p, m)`), facts(t, `{"want": [`+strings.Join(rows, ",")+`]}`), eval.Limits{})
	require.Len(t, ds, maxFaults)
	assert.Equal(t, "80 more taps have faults", ds[maxFaults-1].Hint)
}

func TestTooManyTaps(t *testing.T) {
	p := load(t, `execute[flowtap:tap(p, m, "", "forward")] :- port(p), monitor(m)`)
	e := eval.New(p, eval.Limits{Taps: 6})
	taps := NewTaps("shop", e)
	require.NoError(t, e.Apply(facts(t, `{"port": [["a"], ["b"]], "monitor": [["m"]]}`)))
	require.Len(t, taps.Update().Put, 2)

	err := e.Apply(facts(t, `{"port": [["c"], ["d"], ["e"], ["f"], ["g"], ["h"], ["i"]]}`))
	require.Error(t, err)
	d := EvalFault(err)
	assert.Equal(t, "this gives more than 6 taps", d.Message)
	line, column := d.Span.Position()
	assert.Equal(t, [2]int{1, 1}, [2]int{line, column})

	// All is as before, and goes on from there.
	require.NoError(t, e.Apply(facts(t, `{"port": [["c"]]}`)))
	changes := taps.Update()
	require.Len(t, changes.Put, 1)
	assert.Equal(t, "c", changes.Put[0].Tap.Src)
	assert.Empty(t, changes.Delete)
	assert.Equal(t, 3, taps.Len())
}

func TestTooMuchWork(t *testing.T) {
	p := load(t, `p(1) :- q(a), q(b), q(c), lt(a, b), lt(b, c), lt(c, a)`)
	var rows []string
	for i := range 100 {
		rows = append(rows, fmt.Sprintf("[%d]", i))
	}
	e := eval.New(p, eval.Limits{Work: 10_000})
	err := e.Apply(facts(t, `{"q": [`+strings.Join(rows, ",")+`]}`))
	require.Error(t, err)
	assert.Equal(t, "this gives more than 10000 combinations of rows that are tried", EvalFault(err).Message)
	assert.Zero(t, e.Len(p.Table("q")), "nothing is there")
	require.NoError(t, e.Apply(nil))
}

// TestTapsFollowFacts: after any changes of facts the taps and their faults are those of compiling anew,
// and the changes lead from the old ones to the new.
func TestTapsFollowFacts(t *testing.T) {
	p := load(t, `
execute[flowtap:tap(p, m, "tcp,tp_dst={d}", "redirect", direction=dir)] :- service(p, d, dir), waf(m)
execute[flowtap:tap(p, m, f, "forward", priority=n)] :- watched(p, f, n), ids(m)`)
	words := func(w ...any) *rapid.Generator[any] { return rapid.SampledFrom(w) }
	columns := map[string][]*rapid.Generator[any]{
		"service": {words("a", "b", "c"), words(80, 81, 443), words("in", "out", "both")},
		"waf":     {words("m1", "m2", "A bad one")},
		"watched": {words("a", "b"), words("tcp", "tcp,tp_dst=80", "udp", "ip", "", "no match"), words(100, 200)},
		"ids":     {words("m1", "m3")},
	}
	rapid.Check(t, func(t *rapid.T) {
		// A small limit makes some changes fail, after which all goes on.
		e := eval.New(p, eval.Limits{Taps: rapid.SampledFrom([]int{8, 0}).Draw(t, "limit")})
		taps := NewTaps("shop", e)
		given, have := map[string]eval.Change{}, map[string]flowtap.Tap{}
		for range rapid.IntRange(1, 8).Draw(t, "changes") {
			before := maps.Clone(given)
			var changes []eval.Change
			for range rapid.IntRange(0, 5).Draw(t, "rows") {
				c := eval.Change{Table: rapid.SampledFrom([]string{"service", "service", "waf", "watched", "watched", "ids"}).Draw(t, "table"),
					Delete: rapid.IntRange(0, 3).Draw(t, "delete") == 0}
				for _, g := range columns[c.Table] {
					switch v := g.Draw(t, "value").(type) {
					case string:
						c.Row = append(c.Row, lang.Str(v))
					case int:
						c.Row = append(c.Row, lang.Integer(int64(v)))
					}
				}
				changes = append(changes, c)
				if key := fmt.Sprint(c.Table, c.Row); c.Delete {
					delete(given, key)
				} else {
					given[key] = c
				}
			}
			if e.Apply(changes) != nil {
				given = before
				continue
			}
			ch := taps.Update()
			for _, id := range ch.Delete {
				require.Contains(t, have, id)
				delete(have, id)
			}
			for _, w := range ch.Put {
				have[w.ID] = w.Tap
			}
			fresh, _ := Compile("shop", p, slices.Collect(maps.Values(given)), eval.Limits{})
			require.Equal(t, plain(fresh), plain(taps))
			require.Equal(t, len(fresh.Faults()), len(taps.Faults()))
			if len(taps.Faults()) == 0 {
				want := map[string]flowtap.Tap{}
				for _, w := range taps.All() {
					want[w.ID] = w.Tap
				}
				require.Equal(t, want, have)
			}
		}
	})
}

func plain(t *Taps) (all []string) {
	for _, w := range t.All() {
		all = append(all, fmt.Sprintf("%s %+v", w.ID, w.Tap))
	}
	slices.Sort(all)
	return all
}
