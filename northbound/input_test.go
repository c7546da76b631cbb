package northbound

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Bad input gets a problem that names the field, and nothing changes.
func TestBadInputChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.cloud()
	w.must(201, "POST", "/v1/ports", `{"id":"ids2","kind":"monitor"}`)
	w.must(201, "POST", "/v1/taps", tapT1)
	w.must(201, "POST", "/v1/nodes", `{"id":"n1","datapath_id":"0000000000000001","tunnel_ip":"172.16.0.1"}`)
	tap := func(more string) string {
		return `{"id":"bad","src":"db","dst":"ids1","action":"forward",` + more + `}`
	}
	port := func(more string) string { return `{"id":"bad","network":"shop",` + more + `}` }
	node := func(more string) string {
		return `{"id":"bad","datapath_id":"0000000000000009","tunnel_ip":"172.16.0.9",` + more + `}`
	}
	all := func() (s string) {
		for _, c := range samples {
			s += w.must(200, "GET", "/v1/"+c.collection, "").raw
		}
		return s
	}
	before := all()
	for _, c := range []struct {
		collection, body string
		status           int
		field, detail    string // detail is a part of it
	}{
		// Not JSON, or not one object.
		{"taps", ``, 400, "", "empty"},
		{"taps", `{"src":`, 400, "", "malformed"},
		{"taps", `{"src":"db"`, 400, "", "malformed"},
		{"taps", `{"src":"db",}`, 400, "", "malformed"},
		{"taps", `{src:"db"}`, 400, "", "malformed"},
		{"taps", tap(`"enabled":true`) + `x`, 400, "", "malformed"},
		{"taps", tap(`"enabled":true`) + `{}`, 400, "", "malformed"},
		{"taps", "{\"src\":\"\xff\"}", 400, "", "UTF-8"},
		{"taps", `[` + tap(`"enabled":true`) + `]`, 400, "", "one JSON object"},
		{"taps", `null`, 400, "", "one JSON object"},
		{"taps", `"t1"`, 400, "", "one JSON object"},
		{"taps", tap(`"match":` + strings.Repeat(`{"a":`, 50) + `1` + strings.Repeat(`}`, 50)), 400, "", "nests deeper"},
		{"taps", strings.Repeat(`[`, 20000), 400, "", "malformed"},
		{"taps", tap(`"src":"web"`), 400, "src", "twice"},
		{"taps", tap(`"rate_limit":{"kbps":0,"kbps":1}`), 400, "rate_limit.kbps", "twice"},
		{"ports", port(`"labels":{"a":"b","a":"c"}`), 400, "labels.a", "twice"},
		// Fields that do not exist.
		{"taps", tap(`"colour":"red"`), 400, "colour", "no field"},
		{"taps", tap(`"Enabled":true`), 400, "Enabled", `write "enabled"`},
		{"taps", tap(`"rate_limit":{"mbps":1}`), 400, "rate_limit.mbps", "no field"},
		{"nodes", node(`"rack":"a"`), 400, "rack", "no field"},
		{"networks", `{"id":"bad","name":"x"}`, 400, "name", "no field"},
		{"ports", port(`"ip":"10.0.0.9"`), 400, "ip", "no field"},
		// Values of a wrong type.
		{"taps", tap(`"priority":"high"`), 422, "priority", ""},
		{"taps", tap(`"priority":1.5`), 422, "priority", ""},
		{"taps", tap(`"priority":1e99`), 422, "priority", ""},
		{"taps", tap(`"enabled":"yes"`), 422, "enabled", ""},
		{"taps", tap(`"match":5`), 422, "match", ""},
		{"taps", tap(`"match":["tcp"]`), 422, "match", ""},
		{"taps", tap(`"rate_limit":5`), 422, "rate_limit", ""},
		{"taps", `{"id":"bad","src":5,"dst":"ids1","action":"forward"}`, 422, "src", ""},
		{"taps", `{"id":5,"src":"db","dst":"ids1","action":"forward"}`, 422, "id", "string"},
		{"ports", port(`"ips":"10.0.0.9"`), 422, "ips", ""},
		{"ports", port(`"labels":{"a":1}`), 422, "labels", ""},
		{"ports", port(`"port_security":1`), 422, "port_security", ""},
		{"nodes", node(`"labels":["a"]`), 422, "labels", ""},
		// Values that cannot be.
		{"taps", strings.Replace(tap(`"enabled":true`), `"bad"`, `"Not An Id"`, 1), 422, "id", ""},
		{"taps", strings.Replace(tap(`"enabled":true`), `"bad"`, `"`+strings.Repeat("a", 64)+`"`, 1), 422, "id", ""},
		{"taps", strings.Replace(tap(`"enabled":true`), `"bad"`, `""`, 1), 422, "id", ""},
		{"taps", strings.Replace(tap(`"enabled":true`), `"bad"`, `"../nodes/n1"`, 1), 422, "id", ""},
		{"taps", `{"id":"bad","dst":"ids1","action":"forward"}`, 422, "src", "required"},
		{"taps", `{"id":"bad","src":"db","action":"forward"}`, 422, "dst", "required"},
		{"taps", `{"id":"bad","src":"db","dst":"ids1"}`, 422, "action", "required"},
		{"taps", `{"id":"bad","src":null,"dst":"ids1","action":"forward"}`, 422, "src", "required"},
		{"taps", tap(`"priority":1001`), 422, "priority", ""},
		{"taps", tap(`"priority":-1`), 422, "priority", ""},
		{"taps", tap(`"direction":"sideways"`), 422, "direction", ""},
		{"taps", tap(`"match":"tp_dst=99999"`), 422, "match.tp_dst", ""},
		{"taps", tap(`"match":"nw_proto=TCP; dl_type=0x0806"`), 422, "", ""},
		{"taps", tap(`"match":{"bogus":1}`), 422, "match.bogus", ""},
		{"nodes", node(`"tunnel_interface":"a name that is too long"`), 422, "tunnel_interface", ""},
		{"nodes", `{"id":"bad","datapath_id":"1","tunnel_ip":"172.16.0.9"}`, 422, "datapath_id", ""},
		{"nodes", `{"id":"bad","datapath_id":"0000000000000009","tunnel_ip":"everywhere"}`, 422, "tunnel_ip", ""},
		{"ports", port(`"mac":"01:00:00:00:00:01"`), 422, "mac", ""},
		{"ports", port(`"kind":"router"`), 422, "kind", ""},
		{"ports", port(`"ips":["10.0.0.300"]`), 422, "ips", ""},
		{"ports", port(`"metadata":"0x1ffffffffffffffff"`), 422, "metadata", ""},
		{"ports", `{"id":"bad","kind":"monitor","network":"shop"}`, 422, "network", ""},
		// References to nothing, or to something of the wrong kind.
		{"taps", `{"id":"bad","src":"ghost","dst":"ids1","action":"forward"}`, 422, "src", `no port "ghost"`},
		{"taps", `{"id":"bad","src":"db","dst":"ghost","action":"forward"}`, 422, "dst", `no port "ghost"`},
		{"taps", `{"id":"bad","src":"db","dst":"web","action":"forward"}`, 422, "dst", "monitor"},
		{"taps", `{"id":"bad","src":"ids1","dst":"ids1","action":"forward"}`, 422, "dst", "itself"},
		{"taps", `{"id":"bad","src":"ids1","dst":"ids2","action":"forward"}`, 422, "src", "monitor"},
		{"ports", `{"id":"bad","network":"ghost"}`, 422, "network", `no network "ghost"`},
		{"taps", tap(`"fail_mode":"open"`), 422, "fail_mode", "redirect"},
		{"taps", tap(`"fail_mode":"half"`), 422, "fail_mode", ""},
		{"taps", tap(`"truncate":63`), 422, "truncate", ""},
		{"taps", tap(`"rate_limit":{"kbps":1,"pps":1}`), 422, "rate_limit", "not both"},
		{"ports", `{"id":"bad","kind":"monitor","return_port":"ghost"}`, 422, "return_port", `no port "ghost"`},
		{"ports", `{"id":"bad","kind":"monitor","tag":"vxlan"}`, 422, "tag", ""},
		{"pools", `{"id":"bad","mode":"copy","members":[]}`, 422, "members", ""},
		// Taken.
		{"nodes", `{"id":"bad","datapath_id":"0000000000000001","tunnel_ip":"172.16.0.9"}`, 409, "datapath_id", `"n1"`},
		{"ports", port(`"interface":"web"`), 409, "interface", `"web"`},
		{"ports", port(`"ips":["10.0.0.1"]`), 409, "ips", `"web"`},
	} {
		for _, query := range []string{"", "?dry_run=true"} {
			a := w.do("POST", "/v1/"+c.collection+query, c.body)
			what := c.collection + query + " " + clip(c.body) + ": " + a.raw
			require.Equal(t, c.status, a.status, what)
			require.Equal(t, ProblemType, a.header.Get("Content-Type"), what)
			require.EqualValues(t, c.status, a.at("status"), what)
			if c.field != "" {
				require.Equal(t, c.field, a.str("field"), what)
			}
			require.Contains(t, a.str("detail"), c.detail, what)
		}
		require.Equal(t, before, all(), "after %s %s", c.collection, clip(c.body))
	}
}

// Parameters that cannot be are refused, and a mistyped dry_run does not become a change.
func TestBadParameters(t *testing.T) {
	w := newWorld(t)
	w.cloud()
	for _, c := range [][3]string{
		{"POST", "/v1/taps?dryrun=true", "dryrun"},
		{"POST", "/v1/taps?dry_run=maybe", "dry_run"},
		{"POST", "/v1/taps?dry_run=true&dry_run=false", "dry_run"},
		{"POST", "/v1/taps?wait=soon", "wait"},
		{"POST", "/v1/taps?wait=-1", "wait"},
		{"POST", "/v1/taps?wait=NaN", "wait"},
		{"POST", "/v1/taps?wait=1e9", "wait"},
		{"POST", "/v1/taps?%zz", ""},
		{"GET", "/v1/taps?limit=0", "limit"},
		{"GET", "/v1/taps?limit=many", "limit"},
		{"GET", "/v1/taps?limit=1&limit=2", "limit"},
		{"GET", "/v1/taps?page=x", "page"},
		{"GET", "/v1/taps?page=bm90LW91cnM", "page"},
		{"GET", "/v1/taps?colour=red", "colour"},
		{"GET", "/v1/networks?state=active", "state"},
		{"GET", "/v1/taps?watch=perhaps", "watch"},
		{"GET", "/v1/taps?watch=true&limit=1", "watch"},
	} {
		require.Equal(t, c[2], w.must(400, c[0], c[1], tapT1).str("field"), c[1])
	}
	w.must(404, "GET", "/v1/taps/t1", "")
	w.must(201, "POST", "/v1/taps", tapT1)
	for header, status := range map[string]int{
		`""`: 412, `"x"`: 412, `"0"`: 412, `W/"1"`: 412, `"99999999999999999999"`: 412, `"1", "2"`: 400, `one`: 400, `"`: 400, `-5`: 400,
	} {
		w.must(status, "DELETE", "/v1/taps/t1", "", "If-Match", header)
	}
	w.must(204, "DELETE", "/v1/taps/t1", "", "If-Match", "*")
}
