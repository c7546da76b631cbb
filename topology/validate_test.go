package topology

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestValidID(t *testing.T) {
	for _, id := range []string{"a", "0", "web-1", "a-", strings.Repeat("a", 63), "550e8400-e29b-41d4-a716-446655440000"} {
		require.NoError(t, ValidID(id), id)
	}
	for _, id := range []string{"", "-a", "Web", "a_b", "a.b", "a b", "é", strings.Repeat("a", 64), "a\n", "../x"} {
		require.Error(t, ValidID(id), id)
	}
}

// wants checks that the error is a *FieldError of this text; an empty text wants no error.
func wants(t *testing.T, err error, text string) {
	t.Helper()
	if text == "" {
		require.NoError(t, err)
		return
	}
	var field *FieldError
	require.ErrorAs(t, err, &field)
	require.Contains(t, err.Error(), text)
}

func TestNodeFields(t *testing.T) {
	for in, want := range map[string]string{
		`{"datapath_id":"0000000000000001","tunnel_ip":"172.16.0.1"}`:                         "",
		`{"datapath_id":"0000000000000001","tunnel_ip":"172.16.0.1","labels":{"rack":"a b"}}`: "",
		`{"tunnel_ip":"172.16.0.1"}`:                                                                          "datapath_id: is required",
		`{"datapath_id":"0000000000000000","tunnel_ip":"172.16.0.1"}`:                                         "datapath_id: datapath id",
		`{"datapath_id":"1","tunnel_ip":"172.16.0.1"}`:                                                        "datapath_id: datapath id",
		`{"datapath_id":1,"tunnel_ip":"172.16.0.1"}`:                                                          "datapath_id: want a string",
		`{"datapath_id":"0000000000000001","tunnel_ip":"172.16.0.1","tunnel_datapath_id":"0000000000000002"}`: "",
		`{"datapath_id":"0000000000000001","tunnel_ip":"172.16.0.1","tunnel_datapath_id":"0000000000000001"}`: "tunnel_datapath_id: is the node's own bridge",
		`{"datapath_id":"0000000000000001","tunnel_ip":"172.16.0.1","tunnel_datapath_id":"br-tun"}`:           "tunnel_datapath_id: datapath id",
		`{"datapath_id":"0000000000000001"}`:                                                                  "tunnel_ip: is required",
		`{"datapath_id":"0000000000000001","tunnel_ip":""}`:                                                   "tunnel_ip: ",
		`{"datapath_id":"0000000000000001","tunnel_ip":"n1"}`:                                                 `tunnel_ip: "n1" is not an IP address`,
		`{"datapath_id":"0000000000000001","tunnel_ip":"fd00::1"}`:                                            "tunnel_ip: fd00::1 is not an IPv4",
		`{"datapath_id":"0000000000000001","tunnel_ip":"224.0.0.1"}`:                                          "tunnel_ip: 224.0.0.1 is not the address of one",
		`{"datapath_id":"0000000000000001","tunnel_ip":"0.0.0.0"}`:                                            "tunnel_ip: 0.0.0.0 is not the address of one",
		`{"datapath_id":"0000000000000001","tunnel_ip":"127.0.0.1"}`:                                          "tunnel_ip: 127.0.0.1",
		`{"datapath_id":"0000000000000001","tunnel_ip":"255.255.255.255"}`:                                    "tunnel_ip: 255",
		`{"datapath_id":"0000000000000001","tunnel_ip":"1.2.3.4","tunnel_interface":""}`:                      "tunnel_interface: is required",
		`{"datapath_id":"0000000000000001","tunnel_ip":"1.2.3.4","tunnel_interface":"a/b"}`:                   "tunnel_interface: ",
		`{"datapath_id":"0000000000000001","tunnel_ip":"1.2.3.4","labels":{"":"a"}}`:                          `labels: key ""`,
		`{"datapath_id":"0000000000000001","tunnel_ip":"1.2.3.4","labels":{"a":"\u0007"}}`:                    "labels.a: ",
		`{"datapath_id":"0000000000000001","tunnel_ip":"1.2.3.4","labels":{"a":1}}`:                           "labels: want an object of strings",
		`{"datapath_id":"0000000000000001","tunnel_ip":"1.2.3.4","labels":["a"]}`:                             "labels: want an object of strings",
		`{"datapath_id":"0000000000000001","tunnel_ip":"1.2.3.4","Labels":{}}`:                                "Labels: unknown field",
		`{"datapath_id":"0000000000000001","tunnel_ip":"1.2.3.4","tunnel_ip":"1.2.3.5"}`:                      "tunnel_ip: is given twice",
		`{"datapath_id":"0000000000000001","tunnel_ip":"1.2.3.4","status":{"state":"x"}}`:                     "status: unknown field",
		`[1]`:  ": want an object",
		`"n1"`: ": want an object",
	} {
		t.Run(in, func(t *testing.T) {
			var n Node
			err := json.Unmarshal([]byte(in), &n)
			if err == nil {
				err = n.Validate()
			}
			wants(t, err, want)
			if want == "" {
				require.Equal(t, "tun0", n.TunnelInterface)
			}
		})
	}
}

func TestPortFields(t *testing.T) {
	for in, want := range map[string]string{
		`{"network":"shop"}`: "",
		`{"network":"shop","kind":"vm","interface":"web","mac":"02:00:00:00:00:01","ips":["10.0.0.1","fd00::1"],"port_security":true,"labels":{"tier":"public"},"metadata":"0x1f"}`: "",
		`{"network":"shop","metadata":5}`:                               "",
		`{"network":"shop","kind":"gateway","mac":"02:00:00:00:00:01"}`: "",
		`{"kind":"monitor","return_port":"","tag":"none"}`:              "",
		`{"kind":"monitor","return_port":null,"tag":null}`:              "",
		`{}`:                                             "network: is required for a port of kind vm",
		`{"kind":"gateway"}`:                             "network: is required for a port of kind gateway",
		`{"kind":"monitor","network":"shop"}`:            "network: a monitor is in no network",
		`{"kind":"router","network":"shop"}`:             `kind: "router": want`,
		`{"kind":1,"network":"shop"}`:                    "kind: want a string",
		`{"network":"Shop"}`:                             `network: "Shop" is not an id`,
		`{"network":"s","interface":"0123456789abcdef"}`: `interface: "0123456789abcdef" is longer than 15`,
		`{"network":"s","interface":"a b"}`:              "interface: ",
		`{"network":"s","interface":".."}`:               "interface: ",
		`{"network":"s","interface":7}`:                  "interface: want a string",
		`{"network":"s","mac":"01:00:00:00:00:01"}`:      "mac: 01:00:00:00:00:01 is not the address of one port",
		`{"network":"s","mac":"02:00"}`:                  `mac: "02:00" is not a MAC address`,
		`{"network":"s","mac":2}`:                        "mac: want a string",
		`{"network":"s","ips":"10.0.0.1"}`:               "ips: want a list of strings",
		`{"network":"s","ips":[1]}`:                      "ips: want a list of strings",
		`{"network":"s","ips":["10.0.0.0/8"]}`:           `ips: "10.0.0.0/8" is not an IP address`,
		`{"network":"s","ips":["224.0.0.1"]}`:            "ips: 224.0.0.1 is not the address of one",
		`{"network":"s","ips":["fe80::1%eth0"]}`:         "ips: fe80::1%eth0",
		`{"network":"s","ips":["10.0.0.1","10.0.0.1"]}`:  "ips: 10.0.0.1 is there twice",
		`{"network":"s","port_security":"yes"}`:          "port_security: want true or false",
		`{"network":"s","port_security":true}`:           "port_security: needs mac",
		`{"network":"s","kind":"gateway","mac":"02:00:00:00:00:01","port_security":true}`: "port_security: a gateway has none",
		`{"network":"s","metadata":"x"}`:                       `metadata: "x" is not a 64-bit number`,
		`{"network":"s","metadata":-1}`:                        "metadata: ",
		`{"network":"s","metadata":true}`:                      "metadata: ",
		`{"kind":"monitor","return_port":"ids2","tag":"vlan"}`: "",
		`{"kind":"monitor","return_port":"IDS"}`:               `return_port: "IDS" is not an id`,
		`{"network":"s","return_port":"ids2"}`:                 "return_port: only a monitor has one",
		`{"network":"s","tag":"vlan"}`:                         "tag: only frames to a monitor are tagged",
		`{"kind":"monitor","tag":1}`:                           "tag: want a string",
		`{"kind":"monitor","tag":"vxlan"}`:                     `tag: "vxlan": want`,
		`{"network":"s","mtu":1500}`:                           "mtu: unknown field",
	} {
		t.Run(in, func(t *testing.T) {
			var p Port
			err := json.Unmarshal([]byte(in), &p)
			if err == nil {
				err = p.WithDefaults("web").Validate()
			}
			wants(t, err, want)
		})
	}
}

func TestPortDefaults(t *testing.T) {
	read := func(in string) (p Port) {
		require.NoError(t, json.Unmarshal([]byte(in), &p))
		return p
	}
	p := read(`{"network":"shop"}`)
	require.Equal(t, KindVM, p.Kind)
	require.False(t, p.PortSecurity, "nothing to confine a port to that declares no MAC")
	require.True(t, read(`{"network":"shop","mac":"02:00:00:00:00:01"}`).PortSecurity)
	require.False(t, read(`{"network":"shop","mac":"02:00:00:00:00:01","port_security":false}`).PortSecurity)
	require.False(t, read(`{"network":"shop","mac":"02:00:00:00:00:01","kind":"gateway"}`).PortSecurity)

	require.Equal(t, "web", p.WithDefaults("web").Interface)
	require.Equal(t, "tap550e8400-e2", p.WithDefaults("550e8400-e29b-41d4-a716-446655440000").Interface)
	p.Interface = "eth7"
	require.Equal(t, "eth7", p.WithDefaults("web").Interface)
	require.Equal(t, KindVM, Port{}.WithDefaults("web").Kind)
	require.Equal(t, Port{Kind: KindMonitor, Interface: "ids1"}, Port{Kind: KindMonitor, ReturnPort: "ids1", Tag: TagNone}.WithDefaults("ids1"),
		"what a monitor has anyway is not said")
}

func TestObjectsReadWhatTheyWrite(t *testing.T) {
	var p, again Port
	require.NoError(t, json.Unmarshal([]byte(`{"network":"shop","mac":"02:00:00:00:00:01","ips":["10.0.0.1"],"port_security":false,"metadata":"0x1f"}`), &p))
	p = p.WithDefaults("web")
	raw, err := json.Marshal(p)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &again))
	require.Equal(t, p, again)
}

func TestPoolFields(t *testing.T) {
	many := strings.Repeat(`{"port":"a"},`, MaxMembers)
	for in, want := range map[string]string{
		`{"mode":"copy","members":[{"port":"ids1"}]}`:                                               "",
		`{"mode":"spread","members":[{"port":"ids1","weight":1000},{"port":"ids2","weight":null}]}`: "",
		`{"mode":"spread","members":[{"port":"ids1"}],"labels":{"a":"b"}}`:                          "",
		`{"members":[{"port":"ids1"}]}`:                                                             "mode: is required: copy or spread",
		`{"mode":"hash","members":[{"port":"ids1"}]}`:                                               `mode: "hash": want copy or spread`,
		`{"mode":1,"members":[{"port":"ids1"}]}`:                                                    "mode: want a string",
		`{"mode":"copy"}`:                                                                           "members: is required",
		`{"mode":"copy","members":null}`:                                                            "members: is required",
		`{"mode":"copy","members":"ids1"}`:                                                          "members: want a list of objects",
		`{"mode":"copy","members":[null]}`:                                                          "members.0: want an object",
		`{"mode":"copy","members":[{"port":"a"},{"port":"a"}]}`:                                     "members.1.port: a is there twice",
		`{"mode":"copy","members":[{"port":""}]}`:                                                   "members.0.port: is required",
		`{"mode":"copy","members":[{"port":"A"}]}`:                                                  `members.0.port: "A" is not an id`,
		`{"mode":"copy","members":[{"port":1}]}`:                                                    "members.0.port: want a string",
		`{"mode":"copy","members":[{"port":"a","weight":0}]}`:                                       "members.0.weight: 0: want 1 to 1000",
		`{"mode":"copy","members":[{"port":"a","weight":1001}]}`:                                    "members.0.weight: 1001: want 1 to 1000",
		`{"mode":"copy","members":[{"port":"a","weight":0.5}]}`:                                     "members.0.weight: want a whole number",
		`{"mode":"copy","members":[{"port":"a","load":1}]}`:                                         "members.0.load: unknown field",
		`{"mode":"copy","members":[{"port":"a"}],"size":1}`:                                         "size: unknown field",
		`{"mode":"copy","members":[` + many + `{"port":"b"}]}`:                                      "members: more than 64 members",
	} {
		t.Run(in[:min(len(in), 80)], func(t *testing.T) {
			var p, again Pool
			err := json.Unmarshal([]byte(in), &p)
			if err == nil {
				err = p.Validate()
			}
			wants(t, err, want)
			if want == "" {
				raw, err := json.Marshal(p)
				require.NoError(t, err)
				require.NoError(t, json.Unmarshal(raw, &again))
				require.Equal(t, p, again)
			}
		})
	}
}

func TestNetworkFields(t *testing.T) {
	var n Network
	require.NoError(t, json.Unmarshal([]byte(`{"labels":{"env":"prod"}}`), &n))
	require.NoError(t, n.Validate())
	err := json.Unmarshal([]byte(`{"vlan":5}`), &n)
	var field *FieldError
	require.True(t, errors.As(err, &field) && field.Unknown())
	require.Equal(t, map[string]string{"env": "prod"}, n.Labels, "a refused object changes nothing")
}

func FuzzObjects(f *testing.F) {
	for _, s := range []string{
		`{}`, `null`, `[]`, `{"network":"shop","mac":"02:00:00:00:00:01","ips":["10.0.0.1"]}`, `{"labels":{"a":"b"}}`,
		`{"datapath_id":"0000000000000001","tunnel_ip":"172.16.0.1"}`, `{"kind":"monitor","metadata":1e3}`,
		`{"mode":"copy","members":[{"port":"a","weight":2}]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if !json.Valid(in) {
			return
		}
		for _, v := range []interface{ Validate() error }{&Node{}, &Network{}, &Port{}, &Pool{}} {
			var field *FieldError
			err := json.Unmarshal(in, v)
			if err == nil {
				err = v.Validate()
			}
			if err != nil && !errors.As(err, &field) {
				t.Fatalf("%T: %v names no field", v, err)
			}
		}
	})
}
