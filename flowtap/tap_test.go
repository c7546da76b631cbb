package flowtap

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/topology"
)

func TestTapFields(t *testing.T) {
	for in, want := range map[string]string{
		`{"src":"web","dst":"ids1","action":"forward"}`: "",
		`{"src":"web","dst":"ids1","match":"nw_proto=TCP; tp_dst=80","direction":"in","action":"forward","priority":0,"enabled":false,
		  "fail_mode":"closed","truncate":0,"rate_limit":{"kbps":0,"pps":0},"rewrite_dst_mac":false}`: "",
		`{"src":"web","dst":"ids1","action":"forward","match":null,"dst_pool":null}`:                                   "",
		`{"src":"web","dst":"ids1","action":"forward","match":{"nw_proto":"TCP","tp_dst":80}}`:                         "",
		`{"src":"web","dst":"ids1","action":"forward","match":"table=in"}`:                                             "",
		`{"dst":"ids1","action":"forward"}`:                                                                            "src: is required: the id of the port to tap",
		`{"src":"web","action":"forward"}`:                                                                             "dst: is required: the id of the monitor's port; or give dst_pool",
		`{"src":"web","dst":"ids1"}`:                                                                                   "action: is required: forward or redirect",
		`{"src":"Web","dst":"ids1","action":"forward"}`:                                                                `src: "Web" is not an id: want 1 to 63 of a-z, 0-9 and -, beginning with a letter or digit`,
		`{"src":"web","dst":"web","action":"forward"}`:                                                                 "dst: is the target itself",
		`{"src":1,"dst":"web","action":"forward"}`:                                                                     "src: want a string",
		`{"src":"web","dst":"ids1","action":"mirror"}`:                                                                 `action: "mirror": want forward or redirect`,
		`{"src":"web","dst":"ids1","action":"redirect"}`:                                                               "",
		`{"src":"web","dst":"ids1","action":"forward","direction":"up"}`:                                               `direction: "up": want in, out or both`,
		`{"src":"web","dst":"ids1","action":"forward","direction":"out","match":"table=in"}`:                           "match.table: table=in contradicts direction out",
		`{"src":"web","dst":"ids1","action":"forward","match":"tp_dst=80"}`:                                            "match.tp_dst: needs nw_proto=TCP, UDP or SCTP",
		`{"src":"web","dst":"ids1","action":"forward","match":5}`:                                                      "match: want a string or an object",
		`{"src":"web","dst":"ids1","action":"forward","priority":1001}`:                                                "priority: 1001: want 0 to 1000",
		`{"src":"web","dst":"ids1","action":"forward","priority":-1}`:                                                  "priority: -1: want 0 to 1000",
		`{"src":"web","dst":"ids1","action":"forward","priority":"high"}`:                                              "priority: want a whole number",
		`{"src":"web","dst":"ids1","action":"forward","priority":1.5}`:                                                 "priority: want a whole number",
		`{"src":"web","dst":"ids1","action":"forward","enabled":1}`:                                                    "enabled: want true or false",
		`{"src":"web","dst_pool":"ids","action":"forward"}`:                                                            "",
		`{"src":"web","dst":"ids1","dst_pool":"ids","action":"forward"}`:                                               "dst_pool: a tap has dst or dst_pool, not both",
		`{"src":"web","dst":"ids1","action":"forward","fail_mode":"open"}`:                                             "fail_mode: open is for redirect: copies never stop the flow",
		`{"src":"web","dst":"ids1","action":"forward","fail_mode":"half"}`:                                             `fail_mode: "half": want closed or open`,
		`{"src":"web","dst":"ids1","action":"forward","truncate":64}`:                                                  "",
		`{"src":"web","dst":"ids1","action":"forward","truncate":-1}`:                                                  "truncate: -1: want 0, which is whole frames, or 64 to 65535 bytes",
		`{"src":"web","dst":"ids1","action":"forward","rate_limit":{"kbps":5}}`:                                        "",
		`{"src":"web","dst":"ids1","action":"forward","rate_limit":{"pps":-5}}`:                                        "rate_limit.pps: -5: want 0, which is no bound, to 4294967295",
		`{"src":"web","dst":"ids1","action":"forward","rate_limit":{"pps":"5"}}`:                                       "rate_limit.pps: want a whole number",
		`{"src":"web","dst":"ids1","action":"forward","rate_limit":{"bps":5}}`:                                         "rate_limit.bps: unknown field",
		`{"src":"web","dst":"ids1","action":"forward","rate_limit":5}`:                                                 "rate_limit: want an object",
		`{"src":"web","dst":"ids1","action":"forward","rewrite_dst_mac":true}`:                                         "",
		`{"src":"web","dst":"ids1","action":"redirect","fail_mode":"open"}`:                                            "",
		`{"src":"web","dst_pool":"IDS","action":"forward"}`:                                                            `dst_pool: "IDS" is not an id: want 1 to 63 of a-z, 0-9 and -, beginning with a letter or digit`,
		`{"src":"web","dst":"ids1","action":"forward","truncate":63}`:                                                  "truncate: 63: want 0, which is whole frames, or 64 to 65535 bytes",
		`{"src":"web","dst":"ids1","action":"forward","truncate":65536}`:                                               "truncate: 65536: want 0, which is whole frames, or 64 to 65535 bytes",
		`{"src":"web","dst":"ids1","action":"forward","truncate":65535,"rate_limit":{"pps":1},"rewrite_dst_mac":true}`: "",
		`{"src":"web","dst":"ids1","action":"forward","rate_limit":{"kbps":1,"pps":1}}`:                                "rate_limit: give kbps or pps, not both",
		`{"src":"web","dst":"ids1","action":"forward","rate_limit":{"kbps":4294967296}}`:                               "rate_limit.kbps: 4294967296: want 0, which is no bound, to 4294967295",
		`{"src":"web","dst":"ids1","action":"redirect","truncate":64}`:                                                 "truncate: acts on copies, and a redirected frame is the frame itself",
		`{"src":"web","dst":"ids1","action":"redirect","rate_limit":{"kbps":1}}`:                                       "rate_limit: acts on copies, and a redirected frame is the frame itself",
		`{"src":"web","dst":"ids1","action":"redirect","rewrite_dst_mac":true}`:                                        "rewrite_dst_mac: acts on copies, and a redirected frame is the frame itself",
		`{"src":"web","dst":"ids1","action":"forward","status":{}}`:                                                    "status: unknown field",
		`{"src":"web","src":"db","dst":"ids1","action":"forward"}`:                                                     "src: is given twice",
	} {
		t.Run(in, func(t *testing.T) {
			var tap Tap
			err := json.Unmarshal([]byte(in), &tap)
			if err == nil {
				err = tap.Validate()
			}
			if want == "" {
				require.NoError(t, err)
				return
			}
			var field *topology.FieldError
			require.True(t, errors.As(err, &field), "%v", err)
			require.Equal(t, want, err.Error())
		})
	}
}

func TestTapDefaults(t *testing.T) {
	var tap Tap
	require.NoError(t, json.Unmarshal([]byte(`{"src":"web","dst":"ids1","action":"forward"}`), &tap))
	require.Equal(t, Tap{Src: "web", Dst: "ids1", Action: Forward, Direction: Both, Priority: 100, Enabled: true, FailMode: FailClosed}, tap)
}

func TestTapReadsWhatItWrites(t *testing.T) {
	tap := Tap{Src: "web", Dst: "ids1", Action: Forward, Direction: In, FailMode: FailClosed}
	require.NoError(t, tap.Match.UnmarshalText([]byte("tcp,tp_dst=80")))
	raw, err := json.Marshal(tap)
	require.NoError(t, err)
	require.Contains(t, string(raw), `"match":"nw_proto=TCP; tp_dst=80"`)
	var again Tap
	require.NoError(t, json.Unmarshal(raw, &again))
	require.Equal(t, tap, again)
}

// Stories of overlap, as an administrator meets them.
func TestOverlapStories(t *testing.T) {
	tap := func(match string, d Direction) Tap {
		m, err := ParseMatch(match)
		require.NoError(t, err)
		return Tap{Src: "web", Dst: "ids1", Match: m, Direction: d, Priority: 100, Action: Forward}
	}
	for _, c := range []struct {
		name string
		a, b Tap
		want string // direction and witness
	}{
		{"web pages and everything of one customer", tap("tcp,tp_dst=80", In), tap("nw_src=10.0.0.0/8", In),
			"in tcp,nw_src=10.0.0.0,tp_dst=80"},
		{"over IPv4 and over IPv6", tap("ip,tcp,tp_dst=80", In), tap("tcp6,tp_dst=80", In), ""},
		{"in and out", tap("tcp,tp_dst=80", In), tap("tcp,tp_dst=80", Out), ""},
		{"a request and the reply of another", tap("tcp,tp_dst=80", Both), tap("tcp,tp_src=80", Out), "out tcp,tp_src=80,tp_dst=80"},
		{"neighbouring ranges", tap("tcp,tp_dst=1-1023", In), tap("tcp,tp_dst=1024-65535", In), ""},
		{"ranges that touch", tap("tcp,tp_dst=1-1024", In), tap("tcp,tp_dst=1024-65535", In), "in tcp,tp_dst=1024"},
		{"range and mask", tap("tcp,tp_dst=2-4", In), tap("tcp,tp_dst=1/1", In), "in tcp,tp_dst=3"},
		{"everything and everything", tap("", Both), tap("", Both), "out ip"},
		{"ARP and TCP", tap("arp", Both), tap("tcp", Both), ""},
		{"fragments and ports", tap("udp,ip_frag=later", In), tap("udp,tp_dst=53", In), ""},
		{"both kinds of neighbour discovery", tap("nd_sll=02:00:00:00:00:01", In), tap("nd_tll=02:00:00:00:00:01", In), ""},
		{"target and solicitation", tap("nd_target=fe80::1", In), tap("icmp6,icmp_type=135", In),
			"in icmp6,icmp_type=135,icmp_code=0,nd_target=fe80::1"},
		{"a target of either kind", tap("nd_target=fe80::1", In), tap("", In), "in icmp6,icmp_type=135,icmp_code=0,nd_target=fe80::1"},
		{"tagged and not", tap("dl_vlan_pcp=0", In), tap("vlan_tci=0", In), ""},
		{"zeros of a tag or none", tap("dl_vlan_pcp=1", In), tap("vlan_tci=0/0x0fff", In), "in dl_vlan=0,dl_vlan_pcp=1"},
		{"senders", tap("in_port=db", In), tap("in_port=customer", In), ""},
		{"a sender and its replies", tap("in_port=db", Both), tap("in_port=db", In), "in in_port=db"},
		{"a target gets nothing from itself", tap("in_port=web", In), tap("", In), ""},
		{"what a target sends comes from it", tap("in_port=web", Out), tap("tcp", Out), "out tcp"},
		{"table stands for direction", tap("table=in", Both), tap("", Out), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, w, ok := Overlap(c.a, c.b)
			_, _, back := Overlap(c.b, c.a)
			require.Equal(t, ok, back)
			got := ""
			if ok {
				got = string(d) + " " + w.String()
			}
			require.Equal(t, c.want, got)
			c.b.Src = "db"
			_, _, ok = Overlap(c.a, c.b)
			require.False(t, ok, "other targets do not overlap")
		})
	}
}
