// Package rest is how command lines speak to a controller: one request at a time, with whatever login the flags, the
// environment or the default file have.
package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Problem is the error that the server answered with.
type Problem struct {
	Title         string       `json:"title"`
	Status        int          `json:"status"`
	Detail        string       `json:"detail"`
	Field         string       `json:"field"`
	ConflictsWith string       `json:"conflicts_with"`
	Witness       string       `json:"witness"`
	Users         []string     `json:"users"`
	Diagnostics   []Diagnostic `json:"diagnostics"`
}

// Diagnostic is what the server says of a policy's text.
type Diagnostic struct {
	Severity string `json:"severity"`
	Text     string `json:"text"`
}

func (p *Problem) Error() string {
	if p.Field != "" {
		return p.Field + ": " + p.Detail
	}
	return p.Detail
}

// Client speaks the REST interface.
type Client struct {
	Base    string
	Timeout time.Duration // of one request, on top of its wait
	Secret  string        // of the token to log in with; empty is none
	Project string        // the one that is meant; empty is not to say
	HTTP    *http.Client
}

// Request is one call. A zero wait and an empty revision are left out.
type Request struct {
	Method, Path string
	Query        url.Values
	Body         any
	Revision     string
	Wait         time.Duration
}

// Do sends a request and decodes a JSON answer into out, which may be nil. Errors are *Problem, or
// say why the server could not be reached.
func (c *Client) Do(ctx context.Context, r Request, out any) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout+r.Wait)
	defer cancel()
	resp, err := c.Send(ctx, r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, fmt.Errorf("read the answer of %s: %w", c.Base, err)
	}
	if resp.StatusCode >= 300 {
		return resp.StatusCode, ProblemOf(resp, b)
	}
	if out == nil || len(b) == 0 {
		return resp.StatusCode, nil
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber() // 64-bit counters stay whole
	if err := dec.Decode(out); err != nil {
		return 0, fmt.Errorf("%s does not answer as FlowTap does: %w; is --server right?", c.Base, err)
	}
	return resp.StatusCode, nil
}

// Send is Do with an answer that is still to be read, whatever its status.
func (c *Client) Send(ctx context.Context, r Request) (*http.Response, error) {
	var body io.Reader
	if r.Body != nil {
		b, err := json.Marshal(r.Body)
		if err != nil {
			return nil, fmt.Errorf("encode the request: %w", err)
		}
		body = bytes.NewReader(b)
	}
	q := url.Values{}
	for k, v := range r.Query {
		q[k] = v
	}
	if r.Wait > 0 && !q.Has("wait") {
		q.Set("wait", strconv.FormatFloat(r.Wait.Seconds(), 'f', -1, 64))
	}
	if c.Project != "" && OfProject(r.Path) && !q.Has("project") {
		q.Set("project", c.Project)
	}
	target := c.Base + r.Path
	if len(q) > 0 {
		target += "?" + q.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, target, body)
	if err != nil {
		return nil, usagef("%v", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.Secret != "" {
		req.Header.Set("Authorization", "Bearer "+c.Secret)
	}
	if r.Revision != "" {
		req.Header.Set("If-Match", strconv.Quote(r.Revision))
	}
	resp, err := c.HTTP.Do(req)
	var netErr *url.Error
	if errors.As(err, &netErr) {
		if errors.Is(err, context.Canceled) {
			return nil, context.Canceled
		}
		return nil, &Unreachable{c.Base, netErr.Err}
	}
	return resp, err
}

// Unreachable says that no answer came.
type Unreachable struct {
	Server string
	Err    error
}

func (e *Unreachable) Error() string { return fmt.Sprintf("no answer from %s: %v", e.Server, e.Err) }
func (e *Unreachable) Unwrap() error { return e.Err }

// ProblemOf reads the body of an answer that is an error.
func ProblemOf(resp *http.Response, b []byte) error {
	p := &Problem{}
	if json.Unmarshal(b, p) != nil || p.Detail == "" {
		return fmt.Errorf("the server answered %s, not as FlowTap does; is --server right?", resp.Status)
	}
	p.Status = resp.StatusCode
	return p
}

// OfProject reports whether what a path names is of projects.
func OfProject(path string) bool {
	kind, _, _ := strings.Cut(strings.TrimPrefix(path, "/v1/"), "/")
	return slices.Contains([]string{"networks", "ports", "pools", "taps", "policies", "tokens", "audit"}, kind)
}
