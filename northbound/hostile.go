package northbound

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/flowtap/flowtap/fairlisten"
)

// connKey finds the connection of a request in its context.
type connKey struct{}

// settle says that a connection has shown that it means well: it has made a request whose login was good. A connection for which there is no room any more is closed after its answer.
func settle(w http.ResponseWriter, r *http.Request) {
	if nc, ok := r.Context().Value(connKey{}).(net.Conn); ok && !fairlisten.Settle(nc) {
		w.Header().Set("Connection", "close")
	}
}

// prompt ends requests whose body does not come. The server's time for reading counts from the first byte
// of the request; it is lifted when the body has been read, or there is none, since watches and waits are
// long and the connection is listened to meanwhile for its end. A body that nobody reads keeps it: the
// server reads what is left of one before the next request, and would wait for it forever.
func prompt(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The errors say that there is no connection to set a deadline on, as in a test.
		rc := http.NewResponseController(w)
		if r.Body == nil || r.Body == http.NoBody {
			_ = rc.SetReadDeadline(time.Time{})
		} else {
			_ = rc.SetReadDeadline(time.Now().Add(bodyTimeout))
			r.Body = &lifting{r.Body, rc}
		}
		next.ServeHTTP(w, r)
	})
}

// lifting is a body whose end lifts the deadline for reading.
type lifting struct {
	io.ReadCloser
	rc *http.ResponseController
}

func (b *lifting) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		_ = b.rc.SetReadDeadline(time.Time{})
	}
	return n, err
}

// sourceOf is whom a request's share of what is bounded counts for: its login or, where there is none, its address.
func sourceOf(r *http.Request) string {
	if token := scopeOf(r.Context()).principal.Token; token != "" {
		return token
	}
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	return fairlisten.Source(net.TCPAddrFromAddrPort(at))
}
