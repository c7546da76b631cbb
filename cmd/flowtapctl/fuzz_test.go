package main

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzManifest: whatever a file holds, it is refused or gives objects that have a kind and an id, each once, in
// an order in which they can be made; and the same file as JSON gives the same.
func FuzzManifest(f *testing.F) {
	for _, file := range []string{
		"kind: network\nid: shop\n---\nkind: vm\nid: web\nnetwork: shop\nips: [10.0.0.1]\n",
		"networks:\n- id: shop\nports:\n- {id: web, network: shop}\ntaps:\n- id: t1\n  src: web\n  dst: ids1\n  match: {nw_proto: TCP, tp_dst: 80}\n",
		`{"items":[{"kind":"monitor","id":"ids1","return_port":"ids2"},{"kind":"monitor","id":"ids2"}]}`,
		`{"kind":"tap","id":"t1"} {"kind":"tap","id":"t1"}`, "- kind: pool\n  id: p\n  members: &a [{port: x}]\n- kind: pool\n  id: q\n  members: *a\n",
		"kind: List\nitems: []\n", "a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n", "--- \n---\n", "kind: 5\n", "? [a]\n: b\n", "id: 0x1F\nkind: tap",
	} {
		f.Add([]byte(file))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		all, err := readManifest(file)
		if err != nil {
			return
		}
		seen := map[string]bool{}
		var asJSON []byte
		for i, w := range all {
			require.NotEmpty(t, w.id)
			require.False(t, seen[w.String()], "%s twice", w)
			seen[w.String()] = true
			require.True(t, i == 0 || all[i-1].rank() <= w.rank(), "%s comes too late", w)
			body := object{}
			for k, v := range w.body {
				body[k] = v
			}
			if _, own := body["kind"]; !own {
				body["kind"] = w.col.singular
			}
			b, err := json.Marshal(body)
			require.NoError(t, err)
			asJSON = append(asJSON, b...)
		}
		again, err := readManifest(asJSON)
		require.NoError(t, err, "%s", asJSON)
		require.Equal(t, len(all), len(again))
		for i := range all {
			require.Equal(t, all[i].String(), again[i].String(), "%s", asJSON)
		}
	})
}
