// Package ovstest runs a private Open vSwitch with the dummy datapath for tests. It needs no root,
// no kernel module and no network, only Open vSwitch's programs.
package ovstest

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flowtap/flowtap/openflow"
)

// An OVS is a running switch with the bridge br0. Its methods end the test on an error.
type OVS struct {
	t   testing.TB
	dir string
	ctl net.Conn
	dec *json.Decoder
	xid uint32
}

// Start runs a switch with dummy ports p1 to pN (OpenFlow ports 1 to n) until the test ends. Under
// -short it runs none, logs that and returns nil: the test should then return.
func Start(t testing.TB, n int) *OVS {
	t.Helper()
	if testing.Short() {
		t.Log("not run under -short: this test needs Open vSwitch")
		return nil
	}
	dir, err := os.MkdirTemp("", "ovs") // t.TempDir is too long for a socket's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	o := &OVS{t: t, dir: dir}
	o.command("ovsdb-tool", "create", o.Path("conf.db"), "/usr/share/openvswitch/vswitch.ovsschema")
	o.daemon("ovsdb-server", o.Path("conf.db"), "--remote=punix:"+o.Path("db.sock"), "--unixctl="+o.Path("db.ctl"))
	o.await("db.sock")
	o.Vsctl("--no-wait", "init")
	o.daemon("ovs-vswitchd", "unix:"+o.Path("db.sock"), "--enable-dummy", "--unixctl="+o.Path("vs.ctl"))
	o.await("vs.ctl")
	args := strings.Fields("-- add-br br0 -- set bridge br0 datapath_type=dummy fail_mode=secure protocols=OpenFlow13")
	for i := 1; i <= n; i++ {
		args = append(args, strings.Fields(fmt.Sprintf(
			"-- add-port br0 p%d -- set interface p%d type=dummy ofport_request=%d options:tx_pcap=%s", i, i, i, o.Pcap(i)))...)
	}
	o.Vsctl(args...)
	o.await("br0.mgmt")
	o.command("ovs-ofctl", "-O", "OpenFlow13", "set-frags", "unix:"+o.Path("br0.mgmt"), "nx-match") // as our connections do
	if o.ctl, err = net.Dial("unix", o.Path("vs.ctl")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.ctl.Close() })
	o.dec = json.NewDecoder(o.ctl)
	return o
}

// Path is the name of a file in the switch's directory.
func (o *OVS) Path(name string) string { return filepath.Join(o.dir, name) }

// Pcap is the file with what left by port n.
func (o *OVS) Pcap(n int) string { return o.Path(fmt.Sprintf("p%d.pcap", n)) }

func program(name string) string {
	for _, dir := range []string{"/usr/sbin", "/usr/bin"} { // not everybody's PATH has sbin
		if p := filepath.Join(dir, name); exec.Command(p, "--version").Run() == nil { // #nosec G204 -- tests only: the programs of Open vSwitch
			return p
		}
	}
	return name
}

// Command is one of Open vSwitch's programs, not started yet, with dir for all of its directories.
func Command(dir, name string, args ...string) *exec.Cmd {
	c := exec.Command(program(name), args...) // #nosec G204 -- tests only: the programs of Open vSwitch
	c.Env = append(os.Environ(), "OVS_RUNDIR="+dir, "OVS_LOGDIR="+dir, "OVS_DBDIR="+dir, "OVS_SYSCONFDIR="+dir)
	return c
}

// Command is one of Open vSwitch's programs with the switch's directory, not started yet.
func (o *OVS) Command(name string, args ...string) *exec.Cmd { return Command(o.dir, name, args...) }

func (o *OVS) command(name string, args ...string) string {
	o.t.Helper()
	out, err := o.Command(name, args...).CombinedOutput()
	if err != nil {
		o.t.Fatalf("%s %s: %v (is openvswitch-switch installed?)\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (o *OVS) daemon(name string, args ...string) {
	o.t.Helper()
	c := o.Command(name, append(args, "-vconsole:off", "--log-file="+o.Path(name+".log"), "--pidfile="+o.Path(name+".pid"))...)
	if err := c.Start(); err != nil {
		o.t.Fatalf("%s: %v (is openvswitch-switch installed?)", name, err)
	}
	o.t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
}

// await waits until a file is there.
func (o *OVS) await(name string) {
	o.t.Helper()
	o.Until(name+" exists", func() bool { _, err := os.Stat(o.Path(name)); return err == nil })
}

// Until waits for a condition, at most ten seconds.
func (o *OVS) Until(what string, done func() bool) {
	o.t.Helper()
	tick := time.NewTicker(200 * time.Microsecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); !done(); <-tick.C {
		if time.Now().After(deadline) {
			o.t.Fatalf("Open vSwitch: waited in vain until %s", what)
		}
	}
}

// Vsctl runs ovs-vsctl.
func (o *OVS) Vsctl(args ...string) string {
	o.t.Helper()
	return o.command("ovs-vsctl", append([]string{"--db=unix:" + o.Path("db.sock"), "--timeout=20"}, args...)...)
}

// Ofctl runs ovs-ofctl in OpenFlow 1.3 on br0: Ofctl("dump-flows", "table=1").
func (o *OVS) Ofctl(verb string, args ...string) string {
	o.t.Helper()
	return o.command("ovs-ofctl", append([]string{"-O", "OpenFlow13", verb, "unix:" + o.Path("br0.mgmt")}, args...)...)
}

// Appctl calls ovs-vswitchd as ovs-appctl does.
func (o *OVS) Appctl(method string, args ...string) string {
	o.t.Helper()
	req := map[string]any{"id": 0, "method": method, "params": args}
	if args == nil {
		req["params"] = []string{}
	}
	if err := json.NewEncoder(o.ctl).Encode(req); err != nil {
		o.t.Fatal(err)
	}
	var reply struct {
		Result string
		Error  any
	}
	if err := o.dec.Decode(&reply); err != nil || reply.Error != nil {
		o.t.Fatalf("%s %v: %v %v", method, args, err, reply.Error)
	}
	return reply.Result
}

// Receive lets a frame arrive by port n. It returns before the switch has looked at it; frames of
// one port are handled in order.
func (o *OVS) Receive(n int, frame []byte) {
	o.t.Helper()
	o.Appctl("netdev-dummy/receive", fmt.Sprintf("p%d", n), hex.EncodeToString(frame))
}

// Send sends messages to br0 in one connection and waits until the switch has executed them. It
// returns the errors that came back.
func (o *OVS) Send(messages ...openflow.Message) []*openflow.Error {
	o.t.Helper()
	return o.SendTo("br0", messages...)
}

// SendTo is Send to another bridge, which the test has added.
func (o *OVS) SendTo(bridge string, messages ...openflow.Message) []*openflow.Error {
	o.t.Helper()
	c, err := net.Dial("unix", o.Path(bridge+".mgmt"))
	if err != nil {
		o.t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	var b []byte
	all := append([]openflow.Message{&openflow.Hello{Versions: []uint8{openflow.Version}}}, messages...)
	for _, m := range append(all, &openflow.BarrierRequest{}) {
		o.xid++
		if b, err = openflow.Append(b, o.xid, m); err != nil {
			o.t.Fatal(err)
		}
	}
	go func() { _, _ = c.Write(b) }() // the deadline ends it
	var errs []*openflow.Error
	for {
		m, err := read(c)
		if err != nil {
			o.t.Fatalf("reading from %s: %v", bridge, err)
		}
		switch m := m.(type) {
		case *openflow.Error:
			errs = append(errs, m)
		case *openflow.BarrierReply:
			return errs
		}
	}
}
