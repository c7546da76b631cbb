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

func (res *resource[S, T]) write(w http.ResponseWriter, status int, obj *store.Object[S, T]) error {
	b, err := res.render(obj)
	if err != nil {
		return err
	}
	w.Header().Set("ETag", strconv.Quote(revisionText(obj.Revision)))
	return writeJSON(w, status, json.RawMessage(b))
}

func revisionText(rev int64) string { return strconv.FormatInt(rev, 10) }

// render is the whole object as JSON: id, the spec's fields, then what the server owns.
func (res *resource[S, T]) render(obj *store.Object[S, T]) ([]byte, error) {
	spec, err := json.Marshal(obj.Spec)
	if err != nil {
		return nil, fmt.Errorf("encode %s %s: %w", res.singular, obj.ID, err)
	}
	own, err := json.Marshal(struct {
		Revision  string    `json:"revision"`
		CreatedAt time.Time `json:"created_at"`
		UpdatedAt time.Time `json:"updated_at"`
		Status    T         `json:"status"`
	}{revisionText(obj.Revision), obj.CreatedAt.UTC(), obj.UpdatedAt.UTC(), res.observed(obj)})
	if err != nil {
		return nil, fmt.Errorf("encode %s %s: %w", res.singular, obj.ID, err)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"id":%q`, obj.ID)
	if inner := spec[1 : len(spec)-1]; len(inner) > 0 {
		b.WriteByte(',')
		b.Write(inner)
	}
	b.WriteByte(',')
	b.Write(own[1:])
	return b.Bytes(), nil
}
