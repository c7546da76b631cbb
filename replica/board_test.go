package replica

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/ofconn"
	"github.com/flowtap/flowtap/openflow/ofsim/ovstest"
)

// When a switch connects, what etcd says of its master may change at any moment of that.
func TestAMasterIsNamedWhileItsSwitchConnects(t *testing.T) {
	o := ovstest.Start(t, 1)
	if o == nil {
		return
	}
	d, err := openflow.ParseDPID(strings.Trim(strings.TrimSpace(o.Vsctl("get", "bridge", "br0", "datapath_id")), `"`))
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var b *board
	named := said{slog.NewTextHandler(t.Output(), nil), "switch connected here", func() {
		b.know(1, map[openflow.DPID]mastership{d: {Replica: "a", revision: 7}})
	}}
	b = newBoard("a", slog.New(named), func() {})
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- b.serve(ctx, ln, ofconn.Config{}) }()
	o.Vsctl("set-controller", "br0", "tcp:"+ln.Addr().String())
	eventually(t, "the switch has its master", func() bool {
		all := b.switches()
		return len(all) == 1 && all[0].Master && all[0].Generation == 7
	})
	cancel()
	require.NoError(t, <-served)
}

// said calls a function when something is logged.
type said struct {
	slog.Handler
	what string
	then func()
}

func (h said) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == h.what {
		h.then()
	}
	return h.Handler.Handle(ctx, r)
}

func (h said) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.Handler = h.Handler.WithAttrs(attrs)
	return h
}
