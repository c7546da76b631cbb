package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/flowtap/flowtap/cmd/rest"
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

// client speaks the REST interface, of collections.
type client struct{ *rest.Client }

type (
	problem     = rest.Problem
	request     = rest.Request
	unreachable = rest.Unreachable
)

func (c *client) get(ctx context.Context, col *collection, id string, q url.Values) (object, error) {
	var o object
	_, err := c.Do(ctx, request{Method: http.MethodGet, Path: col.path(id), Query: q}, &o)
	return o, err
}

// list reads all pages.
func (c *client) list(ctx context.Context, col *collection, filter url.Values) ([]object, error) {
	var all []object
	q := url.Values{}
	if !col.whole {
		q.Set("limit", "1000")
	}
	for k, v := range filter {
		q[k] = v
	}
	for {
		var page struct {
			Items []object `json:"items"`
			Next  string   `json:"next"`
		}
		if _, err := c.Do(ctx, request{Method: http.MethodGet, Path: col.path(""), Query: q}, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if page.Next == "" {
			return all, nil
		}
		q.Set("page", page.Next)
	}
}
