package northbound

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/flowtap/flowtap/store"
)

func (res *resource[S, T]) write(sc *scope, w http.ResponseWriter, status int, obj *store.Object[S, T]) error {
	return res.writeView(w, status, res.projectOf(obj), res.view(sc, obj))
}

func (res *resource[S, T]) writeView(w http.ResponseWriter, status int, project string, obj *store.Object[S, T]) error {
	b, err := res.render(project, obj)
	if err != nil {
		return err
	}
	w.Header().Set("ETag", strconv.Quote(revisionText(obj.Revision)))
	return writeJSON(w, status, json.RawMessage(b))
}

func revisionText(rev int64) string { return strconv.FormatInt(rev, 10) }

// render is the whole of a view as JSON: id and project, the spec's fields, then what the server owns.
func (res *resource[S, T]) render(project string, obj *store.Object[S, T]) ([]byte, error) {
	var wanted any = obj.Spec
	if p, ok := wanted.(interface{ Public() any }); ok {
		wanted = p.Public()
	}
	spec, err := json.Marshal(wanted)
	if err != nil {
		return nil, fmt.Errorf("encode %s %s: %w", res.singular, obj.ID, err)
	}
	own, err := json.Marshal(struct {
		Revision  string    `json:"revision"`
		CreatedAt time.Time `json:"created_at"`
		UpdatedAt time.Time `json:"updated_at"`
		Status    T         `json:"status"`
	}{revisionText(obj.Revision), obj.CreatedAt.UTC(), obj.UpdatedAt.UTC(), obj.Status})
	if err != nil {
		return nil, fmt.Errorf("encode %s %s: %w", res.singular, obj.ID, err)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"id":%q`, obj.ID)
	if res.owned && res.inProject == nil {
		fmt.Fprintf(&b, `,"project":%q`, project)
	}
	if inner := spec[1 : len(spec)-1]; len(inner) > 0 {
		b.WriteByte(',')
		b.Write(inner)
	}
	b.WriteByte(',')
	b.Write(own[1:])
	return b.Bytes(), nil
}
