package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// ops reads a history of group g, a line each: from to what id [token [tie]] [if N] : answer. The answer is a status and
// what was found, or unknown, or nothing.
func ops(t *testing.T, text string) []operation {
	t.Helper()
	var all []operation
	for line := range strings.Lines(text) {
		ask, answer, ok := strings.Cut(strings.TrimSpace(line), " : ")
		if !ok {
			continue
		}
		o := operation{Group: "g", Outcome: outcomeAnswered}
		w := strings.Fields(ask)
		_, err := fmt.Sscan(strings.Join(w[:4], " "), &o.Call, &o.Return, &o.Kind, &o.ID)
		require.NoError(t, err, line)
		w = w[4:]
		if n := len(w); n >= 2 && w[n-2] == "if" {
			_, err := fmt.Sscan(w[n-1], &o.If)
			require.NoError(t, err, line)
			w = w[:n-2]
		}
		if len(w) > 0 {
			_, err := fmt.Sscan(w[0], &o.Value.Token)
			require.NoError(t, err, line)
		}
		if len(w) > 1 {
			o.Value.Tie = w[1]
		}
		w = strings.Fields(answer)
		if w[0] == outcomeUnknown || w[0] == outcomeNothing {
			o.Outcome, o.Return = w[0], 0
		} else {
			_, err := fmt.Sscan(w[0], &o.Status)
			require.NoError(t, err, line)
			o.Found = map[string]value{}
			for _, f := range w[1:] { // id=token/tie
				id, rest, _ := strings.Cut(f, "=")
				number, tie, _ := strings.Cut(rest, "/")
				v := value{Tie: tie}
				_, err := fmt.Sscan(number, &v.Token)
				require.NoError(t, err, line)
				o.Found[id] = v
			}
			if o.writes() && o.Status < 400 && o.Kind != opDelete {
				o.Found[o.ID] = o.Value
			}
		}
		all = append(all, o)
	}
	return all
}

func TestGoodHistories(t *testing.T) {
	for name, text := range map[string]string{
		"one after the other": `
			1 2 create g 2 : 201
			3 4 create g-a 4 x : 201
			5 6 create g-t 6 g-a : 201
			7 8 list g : 200 g-a=4/x
			9 10 list g-a : 200 g-t=6/g-a
			11 12 delete g-a : 409
			13 14 delete g-t : 204
			15 16 delete g-a : 204
			17 18 read g-a : 404`,
		"at the same time, either may be first": `
			1 10 create g 2 : 201
			2 9 create g-a 4 x : 201
			3 8 create g-b 6 x : 422`,
		"the same POST again": `
			1 2 create g 2 : 201
			3 4 create g 2 : 200
			5 6 create g 4 : 409`,
		"a MAC taken, and free again": `
			1 2 create g 2 : 201
			3 4 create g-a 4 x : 201
			5 6 create g-b 6 x : 409
			7 8 replace g-a 9 y : 200
			9 10 create g-b 8 x : 201`,
		"a revision that is, and one that is no more": `
			1 2 create g 2 : 201
			3 4 replace g 5 : 200
			5 6 replace g 7 if 5 : 200
			7 8 replace g 9 if 5 : 412
			9 10 delete g if 7 : 204`,
		"unknown, and done much later": `
			1 2 create g 2 : 201
			3 0 replace g 5 : unknown
			5 6 read g : 200 g=2
			7 8 replace g 7 : 200
			9 10 read g : 200 g=5`,
		"unknown, and never done": `
			1 2 create g 2 : 201
			3 0 delete g : unknown
			5 6 read g : 200 g=2`,
		"nothing was changed": `
			1 2 create g 2 : nothing
			3 4 read g : 404`,
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, porcupine.Ok, check(ops(t, text)).result)
		})
	}
}

func TestBadHistories(t *testing.T) {
	for name, text := range map[string]string{
		"an acknowledged write is lost": `
			1 2 create g 2 : 201
			3 4 read g : 404`,
		"a read is stale": `
			1 2 create g 2 : 201
			3 4 replace g 5 : 200
			5 6 read g : 200 g=2`,
		"a list is stale": `
			1 2 create g 2 : 201
			3 4 create g-a 4 x : 201
			5 6 create g-b 6 y : 201
			7 8 list g : 200 g-b=6/y`,
		"two readers see two orders": `
			1 2 create g 2 : 201
			3 20 replace g 5 : 200
			4 21 replace g 7 : 200
			5 6 read g : 200 g=5
			7 8 read g : 200 g=7
			9 10 read g : 200 g=5`,
		"a deleted object is back": `
			1 2 create g 2 : 201
			3 4 delete g : 204
			5 6 read g : 200 g=2`,
		"made twice": `
			1 2 create g 2 : 201
			3 4 create g 4 : 201`,
		"a refusal without a reason": `
			1 2 create g 2 : 201
			3 4 create g-a 4 x : 422`,
		"a reference to nothing": `
			1 2 create g-a 4 x : 201`,
		"deleted while in use": `
			1 2 create g 2 : 201
			3 4 create g-a 4 x : 201
			5 6 delete g : 204`,
		"a MAC twice": `
			1 2 create g 2 : 201
			3 4 create g-a 4 x : 201
			5 6 create g-b 6 x : 201`,
		"a lost update": `
			1 2 create g 2 : 201
			3 4 replace g 5 : 200
			5 9 replace g 7 if 5 : 200
			6 8 replace g 9 if 5 : 200`,
		"nothing was changed, it said": `
			1 2 create g 2 : nothing
			3 4 read g : 200 g=2`,
		"unknown, and done before it was asked for": `
			1 2 create g 2 : 201
			3 4 read g : 200 g=5
			5 0 replace g 5 : unknown`,
		"unknown, and undone after it was seen": `
			1 2 create g 2 : 201
			3 0 replace g 5 : unknown
			5 6 read g : 200 g=5
			7 8 read g : 200 g=2`,
		"half of a port: the tap is there and its port is not": `
			1 2 create g 2 : 201
			3 4 create g-a 4 x : 201
			5 0 create g-t 6 g-a : unknown
			7 8 delete g-a : 204
			9 10 list g-a : 200 g-t=6/g-a`,
	} {
		t.Run(name, func(t *testing.T) {
			v := check(ops(t, text))
			require.Equal(t, porcupine.Illegal, v.result)
			var said strings.Builder
			v.report(&said)
			assert.Contains(t, said.String(), "then there is no room for")
			assert.NoError(t, porcupine.VisualizePath(groups, v.info, t.TempDir()+"/picture.html"))
		})
	}
}

// Each of many writes that nobody answered may have been the one that was done: the search must not try all sets of them.
func TestManyUnknown(t *testing.T) {
	var text strings.Builder
	text.WriteString("1 2 create g 2 : 201\n3 4 replace g 5 : 200\n")
	for i := 10; i < 100; i += 2 {
		fmt.Fprintf(&text, "%d 0 replace g %d if 5 : unknown\n%d %d read g : 200 g=5\n", i, i+1, i, i+1)
	}
	lost := "100 101 replace g 101 if 5 : 412\n102 103 replace g 103 : 200\n"
	assert.Equal(t, porcupine.Ok, check(ops(t, text.String()+lost+"104 105 read g : 200 g=103")).result)
	assert.Equal(t, porcupine.Illegal, check(ops(t, text.String()+lost+"104 105 read g : 200 g=5")).result, "what was done twice")
}

// Whatever one machine that takes one operation after the other answers to many clients at once, some of
// which do not hear the answer, is linearizable.
func TestOneMachine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		rng := rand.New(rand.NewPCG(seed, 1))
		r := &recorder{groups: 2, known: map[string]revision{}, posts: map[string]value{}}
		c := client{r: r, rng: rng, rival: seed%2 == 0}
		states := map[string]state{}
		var all []operation
		for now := int64(10); now < int64(rapid.IntRange(20, 1500).Draw(t, "length")); now += 10 {
			o := c.next()
			o.Call, o.Return = now-rng.Int64N(60), now+rng.Int64N(60)
			if v := r.known[o.ID].value; v.Token != 0 && (o.Kind == opReplace || o.Kind == opDelete) && rng.IntN(2) == 0 {
				o.If = v.Token
			}
			s := states[o.Group]
			o.Outcome, o.Found = outcomeAnswered, map[string]value{}
			switch reasons := refusals(s, o); {
			case !o.writes():
				o.Found = reading(s, o)
				o.Status = http.StatusOK
				if o.Kind == opRead && len(o.Found) == 0 {
					o.Status = http.StatusNotFound
				}
			case o.Kind == opCreate && *s.object(o.Group, o.ID) == o.Value:
				o.Status = http.StatusOK
			case len(reasons) > 0:
				o.Status = reasons[rng.IntN(len(reasons))]
			default:
				o.Status = http.StatusCreated
				if o.Kind != opCreate {
					o.Status = http.StatusOK
				}
				write(&s, o)
				states[o.Group] = s
				if o.Value.Token%2 == 1 {
					r.known[o.ID] = revision{value: o.Value}
				}
			}
			if o.writes() && rng.IntN(10) == 0 {
				o.Outcome, o.Found, o.Return = outcomeUnknown, nil, 0
				if o.Kind == opCreate {
					r.posts[o.ID] = o.Value
				}
			}
			all = append(all, o)
		}
		require.Equal(t, porcupine.Ok, check(all).result)
	})
}

func TestServerErrorsAreNoAnswers(t *testing.T) {
	v := check([]operation{{Group: "g", ID: "g", Kind: opRead, Outcome: outcomeUnknown, Status: http.StatusInternalServerError}})
	assert.False(t, v.ok(), "a 500 must not happen")
	v = check([]operation{{Group: "g", ID: "g", Kind: opRead, Outcome: outcomeNothing, Status: http.StatusServiceUnavailable}})
	assert.True(t, v.ok())
}

func TestTokenOfTap(t *testing.T) {
	for _, token := range []int{2, 32767, 32768, 1 << 29} {
		m := matchOf(token)
		got, err := tokenOf(fmt.Sprintf("nw_proto=UDP; tp_src=%v; tp_dst=%v", m["tp_src"], m["tp_dst"]))
		require.NoError(t, err)
		assert.Equal(t, token, got)
	}
}
