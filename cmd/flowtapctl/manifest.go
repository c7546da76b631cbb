package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/flowtap/flowtap/cmd/rest"
)

// wanted is one object of a file.
type wanted struct {
	col  *collection
	id   string
	body object
}

// rank orders objects so that what is referred to comes first, also among ports: a monitor's return
// port before the monitor.
func (w wanted) rank() int {
	r := 2 * w.col.rank()
	if back, ok := w.body["return_port"].(string); ok && back != "" {
		r++
	}
	return r
}

// project is what the object says of whose it is, as a query.
func (w wanted) project() url.Values {
	q := url.Values{}
	if p, ok := w.body["project"].(string); ok && rest.OfProject(w.col.path("")) {
		q.Set("project", p)
	}
	return q
}

func (w wanted) String() string { return w.col.singular + "/" + w.id }

// readManifest reads YAML or JSON, one or many documents. A document is an object with its kind, a
// list of such, {"items": [...]}, or lists by collection, {"ports": [...], "taps": [...]}. It gives
// the objects in the order in which they depend on each other.
//
// A port's own field is called kind, too: kind vm, gateway and monitor are ports, and so is kind
// port, which is a vm.
func readManifest(data []byte) ([]wanted, error) {
	docs, err := documents(data)
	if err != nil {
		return nil, err
	}
	var all []wanted
	for i, d := range docs {
		var v any
		dec := json.NewDecoder(bytes.NewReader(d))
		dec.UseNumber()
		if err := dec.Decode(&v); err != nil {
			return nil, fmt.Errorf("document %d: %w", i+1, err)
		}
		got, err := objectsOf(v, "")
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", i+1, err)
		}
		all = append(all, got...)
	}
	seen := map[string]bool{}
	for _, w := range all {
		if seen[w.String()] {
			return nil, fmt.Errorf("%s is there twice", w)
		}
		seen[w.String()] = true
	}
	slices.SortStableFunc(all, func(a, b wanted) int { return a.rank() - b.rank() })
	return all, nil
}

// documents gives each document as JSON. Empty ones are left out.
func documents(data []byte) ([]json.RawMessage, error) {
	if docs, err := jsonDocuments(data); err == nil {
		return docs, nil
	}
	var docs []json.RawMessage
	for _, part := range splitYAML(string(data)) {
		b, err := yaml.YAMLToJSONStrict([]byte(part))
		if err != nil {
			return nil, err
		}
		if string(bytes.TrimSpace(b)) != "null" {
			docs = append(docs, b)
		}
	}
	return docs, nil
}

func jsonDocuments(data []byte) (docs []json.RawMessage, err error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	for {
		var d json.RawMessage
		switch err := dec.Decode(&d); {
		case errors.Is(err, io.EOF):
			return docs, nil
		case err != nil:
			return nil, err
		}
		docs = append(docs, d)
	}
}

// splitYAML splits at lines that begin with "---" (YAML 1.2 §9.1.2).
func splitYAML(s string) []string {
	parts := []string{""}
	for _, line := range strings.SplitAfter(s, "\n") {
		rest, ok := strings.CutPrefix(line, "---")
		if ok && (strings.TrimSpace(rest) == "" || rest[0] == ' ' || rest[0] == '\t') {
			parts = append(parts, strings.TrimLeft(rest, " \t"))
			continue
		}
		parts[len(parts)-1] += line
	}
	return parts
}

// objectsOf takes a document apart. kind is the one that the surroundings say, or "".
func objectsOf(v any, kind string) ([]wanted, error) {
	switch v := v.(type) {
	case []any:
		var all []wanted
		for i, e := range v {
			got, err := objectsOf(e, kind)
			if err != nil {
				return nil, fmt.Errorf("item %d: %w", i+1, err)
			}
			all = append(all, got...)
		}
		return all, nil
	case map[string]any:
		k, _ := v["kind"].(string)
		items, isList := v["items"]
		if isList && (k == "" || strings.EqualFold(k, "list")) {
			return objectsOf(items, kind)
		}
		if k == "" && kind == "" {
			return byCollection(v)
		}
		one, err := objectOf(v, k, kind)
		return []wanted{one}, err
	}
	return nil, errors.New(`want an object with its kind, such as {"kind": "tap", "id": "t1", ...}, or a list of them`)
}

// byCollection reads {"networks": [...], "taps": [...]}.
func byCollection(v map[string]any) ([]wanted, error) {
	var all []wanted
	for name, list := range v {
		col, err := findCollection(name)
		if err != nil || col.name != name {
			return nil, fmt.Errorf("an object needs its kind: node, network, port, pool, policy or tap")
		}
		got, err := objectsOf(list, col.singular)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, got...)
	}
	return all, nil
}

func objectOf(v map[string]any, own, outer string) (wanted, error) {
	body := object{}
	for k, x := range v {
		body[k] = x
	}
	kind := strings.ToLower(own)
	switch {
	case kind == "vm" || kind == "gateway" || kind == "monitor":
		kind = "port"
	default:
		delete(body, "kind")
	}
	if kind == "" {
		kind = outer
	}
	col, err := findCollection(kind)
	if err != nil {
		return wanted{}, fmt.Errorf("there is no kind %q: want project, node, network, port (or vm, gateway, monitor), pool, policy or tap", own)
	}
	id, _ := body["id"].(string)
	if id == "" {
		return wanted{}, fmt.Errorf("a %s needs an id (quote it where it looks like a number)", col.singular)
	}
	return wanted{col, id, body}, nil
}
