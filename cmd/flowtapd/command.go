package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flowtap/flowtap/tlsfiles"
)

// options is what the command line says.
type options struct {
	dataDir       string
	openflowAddr  string
	httpAddr      string
	etcdEndpoints []string
	logLevel      string
	logFormat     string
	insecure      bool
	epoch         string
	auditInterval time.Duration
	certs         certFiles
	name          string
	peerAddr      string
	peerAdvertise string
	leaseTTL      time.Duration

	auditRetention time.Duration
	auditMax       int
}

// A usageError is the command line's fault: exit code 2.
type usageError struct{ error }

// version is set when a release is built.
var version = "dev"

func command() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "flowtapd",
		Short: "The FlowTap controller",
		Long: `The FlowTap controller. Switches (Open vSwitch, OpenFlow 1.3) connect to
--openflow-addr; administrators and flowtapctl use the REST interface on
--http-addr. Without flags it keeps its state in an embedded etcd in
./flowtap-data and listens on loopback only.`,
		Version: version,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unexpected argument %q: flowtapd takes flags only; see flowtapd --help", args[0])}
			}
			return nil
		},
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := o.check()
			if err != nil {
				return usageError{err}
			}
			return serve(cmd.Context(), o, log)
		},
	}
	f := c.Flags()
	f.SortFlags = false
	f.StringVar(&o.dataDir, "data-dir", "flowtap-data", "`DIR` of the embedded etcd and of the first token")
	f.StringVar(&o.openflowAddr, "openflow-addr", "127.0.0.1:6653", "`HOST:PORT` that switches connect to")
	f.StringVar(&o.httpAddr, "http-addr", "127.0.0.1:8080", "`HOST:PORT` of the REST interface")
	f.StringSliceVar(&o.etcdEndpoints, "etcd-endpoints", nil, "`URL,URL` of an external etcd cluster, instead of the embedded one")
	f.StringVar(&o.name, "name", "", "`NAME` of this replica among those of one etcd; default the host's name and the OpenFlow port")
	f.StringVar(&o.peerAddr, "peer-addr", "127.0.0.1:0", "`HOST:PORT` that other replicas connect to")
	f.StringVar(&o.peerAdvertise, "peer-advertise", "", "`HOST:PORT` that other replicas are told; default what --peer-addr comes to")
	f.DurationVar(&o.leaseTTL, "lease-ttl", 3*time.Second, "how long a replica that says nothing counts as alive, in whole seconds")
	f.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&o.logFormat, "log-format", "text", "text or json")
	f.BoolVar(&o.insecure, "insecure", false, "accept plain TCP beyond loopback, and everybody without a login: for labs")
	f.DurationVar(&o.auditInterval, "audit-interval", 4*time.Second, "how often each switch is read back and compared, and counters are read")
	f.DurationVar(&o.auditRetention, "audit-retention", 90*24*time.Hour, "how long the audit log keeps who changed what")
	f.IntVar(&o.auditMax, "audit-max", 100_000, "how many changes the audit log keeps at most")
	f.StringVar(&o.epoch, "epoch", "auto", "cure of the stale megaflows of Open vSwitch's userspace datapath: auto, always or never")
	o.certs.flags(f)
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{fmt.Errorf("%w; see flowtapd --help", err)} })
	return c
}

// check validates what flags cannot, and makes the logger.
func (o *options) check() (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.logLevel)); err != nil {
		return nil, fmt.Errorf("--log-level %q: want debug, info, warn or error", o.logLevel)
	}
	opts := &slog.HandlerOptions{Level: level}
	var h slog.Handler
	switch o.logFormat {
	case "text":
		h = slog.NewTextHandler(os.Stderr, opts)
	case "json":
		h = slog.NewJSONHandler(os.Stderr, opts)
	default:
		return nil, fmt.Errorf("--log-format %q: want text or json", o.logFormat)
	}
	switch o.epoch {
	case "auto", "always", "never":
	default:
		return nil, fmt.Errorf("--epoch %q: want auto, always or never", o.epoch)
	}
	if o.auditInterval < 100*time.Millisecond {
		return nil, fmt.Errorf("--audit-interval %v: want at least 100ms", o.auditInterval)
	}
	if o.auditRetention < time.Minute || o.auditMax < 1 {
		return nil, errors.New("--audit-retention and --audit-max: want at least a minute, and one change")
	}
	if len(o.etcdEndpoints) == 0 && o.dataDir == "" {
		return nil, errors.New("--data-dir is empty")
	}
	for _, e := range o.etcdEndpoints {
		if !strings.HasPrefix(e, "http://") && !strings.HasPrefix(e, "https://") {
			return nil, fmt.Errorf("--etcd-endpoints %q: want URLs such as http://127.0.0.1:2379", e)
		}
	}
	if err := o.certs.check(o.etcdEndpoints); err != nil {
		return nil, err
	}
	if err := o.checkAddr("--openflow-addr", o.openflowAddr, o.certs.openflow); err != nil {
		return nil, err
	}
	if err := o.checkAddr("--http-addr", o.httpAddr, o.certs.http); err != nil {
		return nil, err
	}
	if err := o.checkAddr("--peer-addr", o.peerAddr, o.certs.peer); err != nil {
		return nil, err
	}
	if o.leaseTTL < time.Second || o.leaseTTL%time.Second != 0 {
		return nil, fmt.Errorf("--lease-ttl %v: want whole seconds", o.leaseTTL)
	}
	if strings.ContainsAny(o.name, "/ ") {
		return nil, fmt.Errorf("--name %q: want no slash and no blank", o.name)
	}
	return slog.New(h), nil
}

// checkAddr refuses what is no address, and a listener without TLS that others could reach, unless
// that was asked for.
func (o *options) checkAddr(flag, addr string, files tlsfiles.Files) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%s %q: want HOST:PORT", flag, addr)
	}
	ip, err := netip.ParseAddr(host)
	loopback := host == "localhost" || err == nil && ip.IsLoopback()
	if !loopback && files.Cert == "" && !o.insecure {
		return fmt.Errorf("%s %s can be reached from other machines: give %s-cert and %s-key, or listen on 127.0.0.1, or say --insecure in a lab",
			flag, addr, files.Option, files.Option)
	}
	return nil
}
