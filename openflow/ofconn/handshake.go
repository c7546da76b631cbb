package ofconn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/flowtap/flowtap/openflow"
)

// Handshake makes a Conn of a connection that a switch opened: hello, features, configuration
// (whole frames in packet-ins), description and ports. It owns nc from the call on: on error nc
// is closed and no goroutine is left. It ends with ctx, after Config.HandshakeTimeout, and with
// ErrVersion when the switch does not offer OpenFlow 1.3 (which the switch is told).
func Handshake(ctx context.Context, nc net.Conn, config Config) (*Conn, error) {
	config, err := config.withDefaults()
	if err != nil {
		_ = nc.Close()
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, config.HandshakeTimeout,
		fmt.Errorf("handshake not done in %v", config.HandshakeTimeout))
	defer cancel()
	state, err := secure(ctx, nc)
	if err != nil {
		_ = nc.Close()
		return nil, fmt.Errorf("TLS with %s: %w", addrString(nc), err)
	}
	c := newConn(nc, config)
	c.tls = state
	// Urgent, so that it comes before whatever the reader may have to answer.
	c.enqueueUrgent(c.x.take(1), &openflow.Hello{Versions: []uint8{openflow.Version}})
	c.start()
	if err := c.shakeHands(ctx); err != nil {
		if errors.Is(err, ErrVersion) {
			_ = c.Close() // lets the writer tell the switch
		}
		c.fail(err)
		_ = c.Close()
		return nil, fmt.Errorf("handshake with %s: %w", addrString(nc), err)
	}
	c.shaken.Store(true)
	return c, nil
}

// secure does the handshake of TLS, where nc speaks that, so that its failure is told apart. It gives
// nil for a plain connection.
func secure(ctx context.Context, nc net.Conn) (*tls.ConnectionState, error) {
	t, ok := nc.(*tls.Conn)
	if !ok {
		return nil, nil
	}
	if err := t.HandshakeContext(ctx); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	state := t.ConnectionState()
	return &state, nil
}

// fragNXMatch is Open vSwitch's fragment handling in which a first fragment shows its ports
// (OFPC_FRAG_NX_MATCH, include/openflow/openflow-common.h). Without it a match on a port misses
// the first fragment of a packet that has it.
const fragNXMatch = 3

func (c *Conn) shakeHands(ctx context.Context) error {
	select {
	case err := <-c.hello:
		if err != nil {
			return err
		}
	case <-c.done:
		return c.reason
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	m, err := c.Request(ctx, &openflow.FeaturesRequest{})
	if err != nil {
		return err
	}
	var ok bool
	if c.features, ok = m.(*openflow.FeaturesReply); !ok {
		return unexpected(m)
	}
	if c.features.DPID == 0 {
		return fmt.Errorf("%w: datapath id 0", ErrProtocol)
	}
	c.log.Store(c.logger().With("dpid", c.features.DPID))
	if err := c.Send(ctx, &openflow.SetConfig{Flags: fragNXMatch, MissSendLen: 0xffff}); err != nil {
		return err
	}
	if err := c.readDesc(ctx); err != nil {
		return err
	}
	return c.readPorts(ctx)
}

// negotiate reads the first message (OpenFlow 1.3.5 §6.3.1). We offer 1.3 alone, so it is agreed
// when the switch has it too.
func (c *Conn) negotiate(frame []byte) error {
	xid, m, err := openflow.Decode(frame)
	if err != nil {
		return fmt.Errorf("%w: hello: %w", ErrProtocol, err)
	}
	switch m := m.(type) {
	case *openflow.Hello:
		if slices.Contains(m.Versions, openflow.Version) {
			return nil
		}
		c.sendError(xid, nil, errHelloFailed, incompatible)
		return fmt.Errorf("%w: the switch offers wire versions %v, we need %d (OpenFlow 1.3)", ErrVersion, m.Versions, openflow.Version)
	case *openflow.Error:
		return fmt.Errorf("%w: the switch refused our hello: %w", ErrVersion, m)
	}
	return fmt.Errorf("%w: %v before hello", ErrProtocol, m.Type())
}
