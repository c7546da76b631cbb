package northbound

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/flowtap/flowtap/store"
	"github.com/flowtap/flowtap/topology"
)

// listPage is the answer to a list. Next is empty on the last page.
type listPage struct {
	Items []json.RawMessage `json:"items"`
	Next  string            `json:"next"`
}

// list answers GET of a collection: a page of it, or a watch.
func (res *resource[S, T]) list(w http.ResponseWriter, r *http.Request) error {
	q, err := parseQuery(r)
	if err != nil {
		return err
	}
	watch, err := q.bool("watch")
	if err != nil {
		return err
	}
	limit, err := q.limit()
	if err != nil {
		return err
	}
	after, err := q.page()
	if err != nil {
		return err
	}
	offers := false
	if res.offer != nil {
		if offers, err = q.bool("shared"); err != nil {
			return err
		}
	}
	f, err := res.filters(q)
	if err != nil {
		return err
	}
	sc := scopeOf(r.Context())
	if err := res.projectThere(r.Context(), sc); err != nil {
		return err
	}
	if watch && offers {
		return badRequest("watch", "what is shared can be listed, not watched")
	}
	if watch {
		if limit != 0 || after != "" {
			return badRequest("watch", "a watch has no pages: leave out limit and page")
		}
		return res.watch(w, r, sc, f)
	}
	if res.special != nil {
		if items, ok := res.special(f); ok {
			return writeJSON(w, http.StatusOK, listPage{Items: items})
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), res.server.deps.StoreTimeout)
	defer cancel()
	if err := res.ready(ctx); err != nil {
		return err
	}
	objs, _, err := res.objects.List(ctx)
	if err != nil {
		return err
	}
	page := listPage{Items: []json.RawMessage{}}
	last := ""
	for _, o := range objs {
		if o.ID <= after {
			continue
		}
		v := res.listed(sc, o, offers)
		if v == nil || !res.matches(f, v) {
			continue
		}
		if limit > 0 && len(page.Items) == limit {
			page.Next = pageToken(last)
			break
		}
		b, err := res.render(res.projectOf(o), v)
		if err != nil {
			return err
		}
		page.Items = append(page.Items, b)
		last = o.ID
	}
	return writeJSON(w, http.StatusOK, page)
}

// listed gives an object as it is in a list; nil: it is not.
func (res *resource[S, T]) listed(sc *scope, o *store.Object[S, T], offers bool) *store.Object[S, T] {
	switch {
	case offers:
		return res.offeredTo(sc, o, sc.names())
	case res.owned && sc.project != "" && res.projectOf(o) != sc.project:
		return nil
	}
	return res.view(sc, o)
}

// projectThere says that the project of a list is not there, or not the principal's.
func (res *resource[S, T]) projectThere(ctx context.Context, sc *scope) error {
	missing := problem(http.StatusNotFound, "project", "there is no project %q", clip(sc.project))
	switch {
	case !res.owned || sc.project == "" || sc.project == topology.DefaultProject && !sc.hidden:
		return nil
	case sc.hidden:
		return missing
	case !sc.principal.Provider:
		return nil // a project with tokens is there
	}
	ctx, cancel := context.WithTimeout(ctx, res.server.deps.StoreTimeout)
	defer cancel()
	_, err := res.server.deps.Store.Projects().Get(ctx, sc.project)
	if errors.Is(err, store.ErrNotFound) {
		return missing
	}
	return err
}

// filters are the fields that a list is filtered by and the values that each may have.
type filters map[string][]string

// filters takes what remains of a query. A name is a top-level field of the object or, where no
// such field is, of its status, so that ?state=active and ?node=n1 do what they say.
func (res *resource[S, T]) filters(q query) (filters, error) {
	f := filters{}
	for name, values := range q.values {
		if _, ok := res.fieldText(nil, name); !ok {
			return nil, badRequest(name, "%ss have no field %q to filter by", res.singular, name)
		}
		for _, v := range values {
			f[name] = append(f[name], res.canonical(name, v))
		}
	}
	return f, nil
}

// canonical spells a value as the object would: a match, a MAC or an IP address has many spellings.
// What cannot be a value of the field stays as it is and matches nothing.
func (res *resource[S, T]) canonical(name, value string) string {
	f, ok := findField(structFields(reflect.TypeFor[S]()), name)
	if !ok {
		return value
	}
	t := f.typ
	if t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	for _, text := range []string{value, string(mustJSON(value))} {
		v := reflect.New(t)
		if json.Unmarshal([]byte(text), v.Interface()) == nil {
			return jsonText(mustJSON(v.Interface()))
		}
	}
	return value
}

// matches reports whether an object has, for each filter, one of its values. A list has a value when
// one of its elements has it, an object when one of its members is written name:value.
func (res *resource[S, T]) matches(f filters, o *store.Object[S, T]) bool {
	for name, values := range f {
		texts, _ := res.fieldText(o, name)
		if !slices.ContainsFunc(values, func(v string) bool { return slices.Contains(texts, v) }) {
			return false
		}
	}
	return true
}

// fieldText gives the values that a field is filtered by; ok is false when there is no such
// field. With a nil object only ok counts.
func (res *resource[S, T]) fieldText(o *store.Object[S, T], name string) (texts []string, ok bool) {
	switch name {
	case "id", "revision", "created_at", "updated_at":
		if o == nil {
			return nil, true
		}
		return []string{map[string]string{
			"id": o.ID, "revision": revisionText(o.Revision),
			"created_at": jsonText(mustJSON(o.CreatedAt.UTC())), "updated_at": jsonText(mustJSON(o.UpdatedAt.UTC())),
		}[name]}, true
	}
	if f, ok := findField(structFields(reflect.TypeFor[S]()), name); ok {
		if o == nil {
			return nil, true
		}
		return valueTexts(reflect.ValueOf(o.Spec).FieldByIndex(f.index)), true
	}
	f, ok := findField(structFields(reflect.TypeFor[T]()), strings.TrimPrefix(name, "status."))
	if !ok || o == nil {
		return nil, ok
	}
	return valueTexts(reflect.ValueOf(o.Status).FieldByIndex(f.index)), true
}

func valueTexts(v reflect.Value) []string {
	switch v.Kind() {
	case reflect.Map:
		var out []string
		for it := v.MapRange(); it.Next(); {
			out = append(out, it.Key().String()+":"+jsonText(mustJSON(it.Value().Interface())))
		}
		return out
	case reflect.Slice:
		out := make([]string, v.Len())
		for i := range out {
			out[i] = jsonText(mustJSON(v.Index(i).Interface()))
		}
		return out
	}
	if v.IsZero() {
		return []string{jsonText(mustJSON(v.Interface())), ""}
	}
	return []string{jsonText(mustJSON(v.Interface()))}
}

// jsonText is a string's content, or any other value's JSON.
func jsonText(b []byte) string {
	var s string
	if json.Unmarshal(b, &s) == nil {
		return s
	}
	return string(b)
}

// mustJSON encodes what the server itself holds, whose types are known to encode.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("encode: " + err.Error())
	}
	return b
}
