package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"time"

	"google.golang.org/grpc/credentials"
)

// credential makes each connection with what the function gives at the time, so that certificates and
// authorities can change while the client lives.
type credential func() *tls.Config

func (c credential) now() credentials.TransportCredentials { return credentials.NewTLS(c()) }

// ClientHandshake implements credentials.TransportCredentials.
func (c credential) ClientHandshake(ctx context.Context, authority string, nc net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return c.now().ClientHandshake(ctx, authority, nc)
}

// ServerHandshake implements credentials.TransportCredentials.
func (c credential) ServerHandshake(nc net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return c.now().ServerHandshake(nc)
}

// Info implements credentials.TransportCredentials.
func (c credential) Info() credentials.ProtocolInfo { return c.now().Info() }

// Clone implements credentials.TransportCredentials.
func (c credential) Clone() credentials.TransportCredentials { return c }

// OverrideServerName implements credentials.TransportCredentials; the name is the endpoint's.
func (c credential) OverrideServerName(string) error { return nil }

// greet says what TLS has against an endpoint that took a connection, which it closes. A certificate of
// ours that does not do is told after the handshake (RFC 8446 §4.4.2.4), so a first byte is waited for.
func (c Config) greet(endpoint string, conn net.Conn) error {
	defer conn.Close()
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "https" {
		return nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.TLS != nil {
		config = c.TLS()
	}
	config.ServerName, config.NextProtos = u.Hostname(), []string{"h2"}
	_ = conn.SetDeadline(time.Now().Add(time.Second)) // fails on a closed connection, as what follows does
	t := tls.Client(conn, config)
	if _, err = t.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return fmt.Errorf("TLS with %s: %w", u.Host, err)
}
