package ofconn

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"time"

	"github.com/flowtap/flowtap/fairlisten"
	"github.com/flowtap/flowtap/openflow"
)

// Config tunes connections. A zero field means its default.
type Config struct {
	// HandshakeTimeout bounds everything from hello to port-desc. Default 5 s.
	HandshakeTimeout time.Duration
	// EchoInterval is how long the switch may be silent before it is asked whether it lives.
	// Default 5 s.
	EchoInterval time.Duration
	// EchoTimeout is how long it may then stay silent before the connection ends. Any message
	// counts as an answer. Default 5 s.
	EchoTimeout time.Duration
	// WriteTimeout bounds one write to the socket (at most 64 KiB); a switch that accepts no
	// bytes for so long loses its connection. Default 5 s.
	WriteTimeout time.Duration
	// RequestTimeout bounds the wait for an answer, and for each further part of a multipart
	// answer, in addition to the caller's context. Default 30 s.
	RequestTimeout time.Duration
	// MaxMessage is the longest message accepted from the switch, in bytes. Default, and most
	// that OpenFlow can express, 65535.
	MaxMessage int
	// MaxReply bounds the parts of one multipart answer together, in bytes on the wire.
	// Default 64 MiB, about half a million flows.
	MaxReply int
	// WriteQueue is how many writes may wait for the socket. One write is a request, or up to
	// 32 KiB of a Send or Commit. Default 128.
	WriteQueue int
	// EventQueue is how many events may wait to be read. Default 1024.
	EventQueue int
	// MaxHandshakes is how many accepted connections Serve lets be in their handshake at once, half of
	// them from one address; package fairlisten says how more than that are treated. Default 128.
	MaxHandshakes int
	// MaxConns is how many connections Serve has at most that are through with their handshake. Default 8192.
	MaxConns int
	// MaxHandshakeBytes is how much a switch may say before it is through, in bytes; most of it is
	// the descriptions of its ports, 64 bytes each. Default 1 MiB.
	MaxHandshakeBytes int
	// MessageRate is how many messages that nobody asked for are taken a second, with ten seconds'
	// worth at once. More packet-ins, flow-removed, errors and requests of the switch's own are dropped and
	// counted; port-status wait, and with them everything behind. Answers to requests are never
	// held up by it otherwise. Default 5000.
	MessageRate int
	// Relayed says that the connection goes by a relay (see Conn.Relay): its transaction ids are those of
	// the upper half, so that the relaying Conn can tell its own from ours.
	Relayed bool
	// TLS is what Serve speaks with switches; nil is plain TCP. It should ask for their certificates.
	TLS *tls.Config
	// Listening, where set, gets the listener that Serve makes of the one that it is given.
	Listening func(*fairlisten.Listener)
	// Logger gets what no caller can be told. Nil discards.
	Logger *slog.Logger
}

func (c Config) withDefaults() (Config, error) {
	for _, d := range []struct {
		name string
		v    *time.Duration
		def  time.Duration
	}{
		{"HandshakeTimeout", &c.HandshakeTimeout, 5 * time.Second},
		{"EchoInterval", &c.EchoInterval, 5 * time.Second},
		{"EchoTimeout", &c.EchoTimeout, 5 * time.Second},
		{"WriteTimeout", &c.WriteTimeout, 5 * time.Second},
		{"RequestTimeout", &c.RequestTimeout, 30 * time.Second},
	} {
		if *d.v < 0 {
			return c, fmt.Errorf("ofconn: %s %v is negative", d.name, *d.v)
		}
		if *d.v == 0 {
			*d.v = d.def
		}
	}
	for _, n := range []struct {
		name           string
		v              *int
		def, low, high int
	}{
		{"MaxMessage", &c.MaxMessage, openflow.MaxMessageLen, openflow.HeaderLen, openflow.MaxMessageLen},
		{"MaxReply", &c.MaxReply, 64 << 20, openflow.HeaderLen, 1 << 30},
		{"WriteQueue", &c.WriteQueue, 128, 1, 1 << 20},
		{"EventQueue", &c.EventQueue, 1024, 1, 1 << 20},
		{"MaxHandshakes", &c.MaxHandshakes, 128, 1, 1 << 20},
		{"MaxConns", &c.MaxConns, 8192, 1, 1 << 20},
		{"MaxHandshakeBytes", &c.MaxHandshakeBytes, 1 << 20, 1 << 10, 1 << 30},
		{"MessageRate", &c.MessageRate, 5000, 1, 1 << 30},
	} {
		if *n.v == 0 {
			*n.v = n.def
		}
		if *n.v < n.low || *n.v > n.high {
			return c, fmt.Errorf("ofconn: %s %d is not in %d..%d", n.name, *n.v, n.low, n.high)
		}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}
