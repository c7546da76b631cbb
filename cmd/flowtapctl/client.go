package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// object is one object of the API, as it came.
type object map[string]any

func (o object) id() string       { s, _ := o["id"].(string); return s }
func (o object) revision() string { s, _ := o["revision"].(string); return s }

// text is a field's value as a table shows it; path has dots for nesting.
func (o object) text(path string) string {
	var v any = map[string]any(o)
	for _, k := range strings.Split(path, ".") {
		m, _ := v.(map[string]any)
		v = m[k]
	}
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = object{"x": v[i]}.text("x")
		}
		return strings.Join(parts, ",")
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

// set gives a field a value; path has dots for nesting.
func (o object) set(path string, v any) {
	name, rest, nested := strings.Cut(path, ".")
	if !nested {
		o[name] = v
		return
	}
	inner, ok := o[name].(object)
	if !ok {
		inner = object{}
		o[name] = inner
	}
	inner.set(rest, v)
}

// problem is the error that the server answered with.
type problem struct {
	Title         string   `json:"title"`
	Status        int      `json:"status"`
	Detail        string   `json:"detail"`
	Field         string   `json:"field"`
	ConflictsWith string   `json:"conflicts_with"`
	Witness       string   `json:"witness"`
	Users         []string `json:"users"`
}

func (p *problem) Error() string {
	if p.Field != "" {
		return p.Field + ": " + p.Detail
	}
	return p.Detail
}

// client speaks the REST interface.
type client struct {
	base    string
	timeout time.Duration // of one request, on top of its wait
	secret  string        // of the token to log in with; empty is none
	project string        // the one that is meant; empty is not to say
	http    *http.Client
}

// request is one call. A zero wait and an empty revision are left out.
type request struct {
	method, path string
	query        url.Values
	body         any
	revision     string
	wait         time.Duration
}

// do sends a request and decodes a JSON answer into out, which may be nil. Errors are *problem, or
// say why the server could not be reached.
func (c *client) do(ctx context.Context, r request, out any) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout+r.wait)
	defer cancel()
	resp, err := c.send(ctx, r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, fmt.Errorf("read the answer of %s: %w", c.base, err)
	}
	if resp.StatusCode >= 300 {
		return resp.StatusCode, problemOf(resp, b)
	}
	if out == nil || len(b) == 0 {
		return resp.StatusCode, nil
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber() // 64-bit counters stay whole
	if err := dec.Decode(out); err != nil {
		return 0, fmt.Errorf("%s does not answer as FlowTap does: %w; is --server right?", c.base, err)
	}
	return resp.StatusCode, nil
}

func (c *client) send(ctx context.Context, r request) (*http.Response, error) {
	var body io.Reader
	if r.body != nil {
		b, err := json.Marshal(r.body)
		if err != nil {
			return nil, fmt.Errorf("encode the request: %w", err)
		}
		body = bytes.NewReader(b)
	}
	q := r.query
	if r.wait > 0 {
		q = url.Values{"wait": {strconv.FormatFloat(r.wait.Seconds(), 'f', -1, 64)}}
		for k, v := range r.query {
			q[k] = v
		}
	}
	if c.project != "" && ofProject(r.path) {
		with := url.Values{"project": {c.project}}
		for k, v := range q {
			with[k] = v
		}
		q = with
	}
	target := c.base + r.path
	if len(q) > 0 {
		target += "?" + q.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, body)
	if err != nil {
		return nil, usagef("%v", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.secret != "" {
		req.Header.Set("Authorization", "Bearer "+c.secret)
	}
	if r.revision != "" {
		req.Header.Set("If-Match", strconv.Quote(r.revision))
	}
	resp, err := c.http.Do(req)
	var netErr *url.Error
	if errors.As(err, &netErr) {
		if errors.Is(err, context.Canceled) {
			return nil, context.Canceled
		}
		return nil, &unreachable{c.base, netErr.Err}
	}
	return resp, err
}

// unreachable says that no answer came.
type unreachable struct {
	server string
	err    error
}

func (e *unreachable) Error() string { return fmt.Sprintf("no answer from %s: %v", e.server, e.err) }
func (e *unreachable) Unwrap() error { return e.err }

func problemOf(resp *http.Response, b []byte) error {
	p := &problem{}
	if json.Unmarshal(b, p) != nil || p.Detail == "" {
		return fmt.Errorf("the server answered %s, not as FlowTap does; is --server right?", resp.Status)
	}
	p.Status = resp.StatusCode
	return p
}

func (c *client) get(ctx context.Context, col *collection, id string, q url.Values) (object, error) {
	var o object
	_, err := c.do(ctx, request{method: http.MethodGet, path: col.path(id), query: q}, &o)
	return o, err
}

// list reads all pages.
func (c *client) list(ctx context.Context, col *collection, filter url.Values) ([]object, error) {
	var all []object
	q := url.Values{"limit": {"1000"}}
	for k, v := range filter {
		q[k] = v
	}
	for {
		var page struct {
			Items []object `json:"items"`
			Next  string   `json:"next"`
		}
		if _, err := c.do(ctx, request{method: http.MethodGet, path: col.path(""), query: q}, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if page.Next == "" {
			return all, nil
		}
		q.Set("page", page.Next)
	}
}
