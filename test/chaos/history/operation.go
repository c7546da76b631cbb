package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
)

// Kinds of operation, by what the client meant.
const (
	opCreate  = "create"  // POST
	opReplace = "replace" // PUT
	opDelete  = "delete"  // DELETE
	opRead    = "read"    // GET of one object
	opList    = "list"    // GET of the group's ports, or of the taps of one of them
	opEnd     = "end"     // of a group's history; the checker's own
)

// Outcomes of an operation, by what the client was told.
const (
	// outcomeAnswered: Status and Found are the answer; 4xx is one, too.
	outcomeAnswered = "answered"
	// outcomeUnknown: no answer, or one that says that the change may have been made or not. It may also
	// be made any time later.
	outcomeUnknown = "unknown"
	// outcomeNothing: nobody took the request, or who did says that nothing was changed. A promise like
	// any other: what such a write would have written must never be seen.
	outcomeNothing = "nothing"
	// outcomeStale: an answer from a snapshot, which says so. It promises nothing.
	outcomeStale = "stale"
)

// A value is what of an object tells one write from another.
type value struct {
	// Token is the number of the write. An even one is of a POST, and may be repeated: same POST, same
	// token. An odd one is of a PUT, and was sent once; so it stands for one revision of the object.
	Token int `json:"token"`
	// Tie is the MAC of a port, the src of a tap.
	Tie string `json:"tie,omitempty"`
}

// An operation is one request and its answer: a line of a history.
type operation struct {
	Client  int    `json:"client"`
	Replica string `json:"replica"`
	// Call and Return are nanoseconds on one clock. What is unknown has none.
	Call   int64  `json:"call"`
	Return int64  `json:"return,omitempty"`
	Kind   string `json:"kind"`
	Group  string `json:"group"`
	// ID is the object's; of a list the network's id for its ports, a port's for its taps.
	ID    string `json:"id"`
	Value value  `json:"value,omitzero"`
	// If is the token of the revision in If-Match, 0 is none.
	If      int              `json:"if,omitempty"`
	Outcome string           `json:"outcome"`
	Status  int              `json:"status,omitempty"`
	Found   map[string]value `json:"found,omitempty"` // by id
	Detail  string           `json:"detail,omitempty"`
}

func (o operation) writes() bool {
	return o.Kind == opCreate || o.Kind == opReplace || o.Kind == opDelete
}

// The objects of a group.
func networkOf(group string) string { return group }
func portA(group string) string     { return group + "-a" }
func portB(group string) string     { return group + "-b" }
func tapOf(group string) string     { return group + "-t" }

// collectionOf is where the object with that id is found.
func collectionOf(id string) string {
	switch {
	case strings.HasSuffix(id, "-t"):
		return "taps"
	case strings.HasSuffix(id, "-a"), strings.HasSuffix(id, "-b"):
		return "ports"
	}
	return "networks"
}

// readHistory reads lines of JSON.
func readHistory(r io.Reader) ([]operation, error) {
	var all []operation
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var o operation
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return nil, fmt.Errorf("line %d: %w", len(all)+1, err)
		}
		all = append(all, o)
	}
	return all, lines.Err()
}

// bounded gives what must be ordered: everything that was answered, and the writes whose outcome is
// unknown. Such a write may take place at any time after its call, unless somebody saw what it wrote:
// then it had taken place when the first of those had their answer.
func bounded(all []operation) []operation {
	type write struct {
		id    string
		token int
	}
	seen, sent := map[write]int64{}, map[write]int{}
	for _, o := range all {
		sent[write{o.ID, o.Value.Token}]++
		if o.Outcome != outcomeAnswered {
			continue
		}
		for id, v := range o.Found {
			w := write{id, v.Token}
			if first, ok := seen[w]; !ok || o.Return < first {
				seen[w] = o.Return
			}
		}
	}
	var out []operation
	for _, o := range all {
		switch {
		case o.Outcome == outcomeAnswered:
			out = append(out, o)
		case o.Outcome == outcomeUnknown && o.writes():
			o.Return = math.MaxInt64
			w := write{o.ID, o.Value.Token}
			// What a repeated POST wrote may be another's doing.
			if first, ok := seen[w]; ok && sent[w] == 1 && first > o.Call {
				o.Return = first
			}
			out = append(out, o)
		}
	}
	return out
}
