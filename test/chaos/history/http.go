package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// timeout is how long a client waits for an answer. The outcome is unknown then.
const timeout = 2 * time.Second

// transport of all clients. A request is never repeated behind a client's back: with a body that
// cannot be read again, and without kept connections, net/http has no reason to.
var transport = &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{Timeout: timeout}).DialContext}

// do sends the operation, writes it down with its answer and gives it back.
func (c *client) do(o operation) operation {
	o.Replica = c.base
	req, err := c.request(&o)
	if err != nil {
		panic(fmt.Sprintf("a request that cannot be made: %v", err))
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	o.Call = c.r.now()
	res, err := transport.RoundTrip(req.WithContext(ctx))
	var body []byte
	if err == nil {
		body, err = io.ReadAll(io.LimitReader(res.Body, 1<<20))
		_ = res.Body.Close()
	}
	o.Return = c.r.now()
	var rev string
	if err != nil {
		o.Outcome, o.Detail = outcomeUnknown, err.Error()
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			o.Outcome = outcomeNothing
		}
	} else {
		rev = c.answer(&o, res, body)
	}
	if o.Outcome == outcomeUnknown {
		o.Return = 0
	}
	c.r.add(o, rev)
	return o
}

// answer takes the answer in; the revision of the object that it shows, if it does.
func (c *client) answer(o *operation, res *http.Response, body []byte) string {
	o.Status = res.StatusCode
	switch {
	case res.StatusCode >= 500:
		o.Outcome, o.Detail = outcomeUnknown, string(body)
		if !o.writes() || strings.Contains(string(body), "nothing was changed") {
			o.Outcome = outcomeNothing
		}
		return ""
	case res.Header.Get("FlowTap-Stale") != "":
		o.Outcome = outcomeStale
		return ""
	}
	o.Outcome = outcomeAnswered
	if res.StatusCode >= 400 {
		o.Detail = string(body)
		return ""
	}
	type object struct {
		ID, Revision, MAC, Src, Match string
		Labels                        map[string]string
	}
	var one object
	var list struct{ Items []object }
	if o.Kind == opDelete {
		return ""
	}
	var err error
	if o.Kind == opList {
		err = json.Unmarshal(body, &list)
	} else if err = json.Unmarshal(body, &one); err == nil {
		list.Items = []object{one}
	}
	o.Found = map[string]value{}
	for _, i := range list.Items {
		v := value{Tie: i.MAC + i.Src}
		if i.Src != "" {
			v.Token, err = tokenOf(i.Match)
		} else {
			v.Token, err = strconv.Atoi(i.Labels["token"])
		}
		o.Found[i.ID] = v
	}
	if err != nil {
		panic(fmt.Sprintf("an answer that cannot be read: %v in %s", err, body))
	}
	return one.Revision
}

// A tap has no labels: its token is in two ports of its match.
func matchOf(token int) map[string]any {
	return map[string]any{"nw_proto": "UDP", "tp_src": 1 + token>>15, "tp_dst": 1 + token&0x7fff}
}

func tokenOf(match string) (int, error) {
	var high, low int
	for _, term := range strings.FieldsFunc(match, func(r rune) bool { return r == ',' || r == ';' || r == ' ' }) {
		name, text, _ := strings.Cut(term, "=")
		n, err := strconv.Atoi(text)
		switch {
		case name == "tp_src" && err == nil:
			high = n - 1
		case name == "tp_dst" && err == nil:
			low = n - 1
		case err != nil && name != "nw_proto":
			return 0, fmt.Errorf("match %q: %w", match, err)
		}
	}
	return high<<15 | low, nil
}

var methods = map[string]string{opCreate: http.MethodPost, opReplace: http.MethodPut, opDelete: http.MethodDelete, opRead: http.MethodGet, opList: http.MethodGet}

// bound is in how many of eight cases a client says which revision it means. A rival's write that nobody
// answers is soon one that cannot be made any more: of those that can, a long order is hard to find.
func (c *client) bound() int {
	if c.rival {
		return 7
	}
	return 4
}

// request is the operation as HTTP. A PUT or DELETE is sometimes bound to a revision.
func (c *client) request(o *operation) (*http.Request, error) {
	path := "/v1/" + collectionOf(o.ID)
	switch {
	case o.Kind == opList && o.ID == networkOf(o.Group):
		path = "/v1/ports?network=" + url.QueryEscape(o.ID)
	case o.Kind == opList:
		path = "/v1/taps?src=" + url.QueryEscape(o.ID)
	case o.Kind != opCreate:
		path += "/" + o.ID
	}
	var body io.Reader
	if o.Kind == opCreate || o.Kind == opReplace {
		text, err := json.Marshal(c.spec(o))
		if err != nil {
			return nil, err
		}
		body = io.MultiReader(bytes.NewReader(text)) // hides what could be rewound
	}
	req, err := http.NewRequest(methods[o.Kind], c.base+path, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if o.Kind == opReplace || o.Kind == opDelete {
		c.r.mu.Lock()
		rev, ok := c.r.known[o.ID]
		c.r.mu.Unlock()
		if ok && c.rng.IntN(8) < c.bound() {
			o.If = rev.value.Token
			req.Header.Set("If-Match", strconv.Quote(rev.text))
		}
	}
	return req, nil
}

// spec is the body of a POST or PUT.
func (c *client) spec(o *operation) map[string]any {
	token := map[string]string{"token": strconv.Itoa(o.Value.Token)}
	switch collectionOf(o.ID) {
	case "ports":
		return map[string]any{"id": o.ID, "network": o.Group, "mac": o.Value.Tie, "labels": token}
	case "taps":
		return map[string]any{"id": o.ID, "src": o.Value.Tie, "dst": c.r.monitor, "action": "forward", "match": matchOf(o.Value.Token)}
	}
	return map[string]any{"id": o.ID, "labels": token}
}
