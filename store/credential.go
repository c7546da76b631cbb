package store

import (
	"context"
	"crypto/tls"
	"net"

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
