package replica

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/flowtap/flowtap/fairlisten"
	"github.com/flowtap/flowtap/openflow"
)

// Replicas speak HTTP/1.1 to each other. Each request bears the secret that is kept in etcd. /link and
// /relay are upgraded to connections of their own, /settled holds until the leader has carried a revision out,
// what is under /api goes to the leader's REST interface as it is.
const (
	secretHeader   = "Flowtap-Peer" // #nosec G101 -- a header's name
	instanceHeader = "Flowtap-Instance"
	fromHeader     = "Flowtap-Switch"
	apiPrefix      = "/api"
)

// dial connects to another replica.
func (r *Replica) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if r.d.PeerClient == nil {
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	return (&tls.Dialer{Config: r.d.PeerClient()}).DialContext(ctx, network, addr)
}

func (r *Replica) transport() http.RoundTripper {
	t := &http.Transport{DialContext: r.dial, IdleConnTimeout: time.Minute}
	return roundTripper(func(q *http.Request) (*http.Response, error) {
		q.Header.Set(secretHeader, r.secretNow())
		return t.RoundTrip(q)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(q *http.Request) (*http.Response, error) { return f(q) }

func (r *Replica) secretNow() string {
	if s := r.secret.Load(); s != nil {
		return *s
	}
	return ""
}

// forgetSecret has the secret read again: etcd may have been replaced.
func (r *Replica) forgetSecret() {
	r.post(r.ctx, func() { r.once("read the peers' secret", r.readSecret) })
}

// readSecret gets the secret that all replicas share; the first one makes it.
func (r *Replica) readSecret(ctx context.Context) error {
	random := make([]byte, 32)
	if _, err := rand.Read(random); err != nil {
		return err
	}
	made := hex.EncodeToString(random)
	got, err := r.client.Txn(ctx).If(absent(secretKey)).Then(clientv3.OpPut(secretKey, made)).Else(clientv3.OpGet(secretKey)).Commit()
	if err != nil {
		return err
	}
	if !got.Succeeded {
		made = string(got.Responses[0].GetResponseRange().Kvs[0].Value)
	}
	r.secret.Store(&made)
	return nil
}

// servePeers answers other replicas until ctx ends.
func (r *Replica) servePeers(ctx context.Context) error {
	fair := fairlisten.New(r.d.Peers, fairlisten.Limits{})
	defer fair.Close()
	var ln net.Listener = fair
	if r.d.PeerServer != nil {
		ln = tls.NewListener(ln, r.d.PeerServer)
	}
	var open gate
	mux := http.NewServeMux()
	mux.HandleFunc("GET /link", func(w http.ResponseWriter, _ *http.Request) {
		if nc := r.hijack(w, nil); nc != nil {
			r.tell(ctx, nc)
		}
	})
	mux.HandleFunc("GET /relay", func(w http.ResponseWriter, q *http.Request) { r.serveRelay(ctx, w, q) })
	mux.HandleFunc("POST /settled", r.serveSettled)
	mux.HandleFunc(apiPrefix+"/", r.serveAPI)
	srv := &http.Server{ReadHeaderTimeout: r.d.LinkSilence, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ConnContext: func(ctx context.Context, nc net.Conn) context.Context { return context.WithValue(ctx, connKey{}, nc) },
		BaseContext: func(net.Listener) context.Context { return ctx },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if !open.enter() {
				return
			}
			defer open.leave()
			if given, want := q.Header.Get(secretHeader), r.secretNow(); want == "" || subtle.ConstantTimeCompare([]byte(given), []byte(want)) != 1 {
				r.forgetSecret()
				http.Error(w, "the secret is another", http.StatusUnauthorized)
				return
			}
			q.Header.Del(secretHeader)
			if nc, ok := q.Context().Value(connKey{}).(net.Conn); ok && !fairlisten.Settle(nc) {
				http.Error(w, "too many connections", http.StatusServiceUnavailable)
				return
			}
			mux.ServeHTTP(w, q)
		})}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	r.forgetSecret() // has it read the first time
	err := srv.Serve(ln)
	open.shut()
	if ctx.Err() != nil || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve other replicas on %s: %w", r.d.Peers.Addr(), err)
}

// connKey finds the connection of a request in its context.
type connKey struct{}

// A gate counts who is inside and, once shut, lets nobody in.
type gate struct {
	mu     sync.Mutex // guards closed, and each Add against Wait
	closed bool
	inside sync.WaitGroup
}

func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.inside.Add(1)
	return true
}

func (g *gate) leave() { g.inside.Done() }

func (g *gate) shut() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.inside.Wait()
}

// hijack takes the connection of a request over; nil where that failed.
func (r *Replica) hijack(w http.ResponseWriter, header map[string]string) net.Conn {
	nc, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return nil
	}
	fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: flowtap\r\n%s: %s\r\n", instanceHeader, r.instance)
	for k, v := range header {
		fmt.Fprintf(rw, "%s: %s\r\n", k, v)
	}
	fmt.Fprint(rw, "\r\n")
	if rw.Flush() != nil || nc.SetDeadline(time.Time{}) != nil {
		_ = nc.Close()
		return nil
	}
	return &buffered{nc, rw.Reader}
}

// serveRelay lets the leader speak to a switch.
func (r *Replica) serveRelay(ctx context.Context, w http.ResponseWriter, q *http.Request) {
	d, err := openflow.ParseDPID(q.FormValue("dpid"))
	epoch, err2 := strconv.ParseInt(q.FormValue("epoch"), 10, 64)
	if err = errors.Join(err, err2); err == nil {
		err = r.board.mayRelay(d, epoch)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	if nc := r.hijack(w, nil); nc != nil {
		_ = r.board.relay(ctx, d, epoch, nc) // the far end tells
	}
}

func (r *Replica) serveSettled(w http.ResponseWriter, q *http.Request) {
	revision, err := strconv.ParseInt(q.FormValue("revision"), 10, 64)
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
	case r.d.Settled == nil:
		http.Error(w, "nobody to ask", http.StatusServiceUnavailable)
	default:
		if err := r.d.Settled(q.Context(), revision); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	}
}

// forwarded marks the context of a request that another replica has passed on.
type forwarded struct{}

// Forwarded reports whether a request came from another replica, which took this one for the leader.
func Forwarded(ctx context.Context) bool { return ctx.Value(forwarded{}) != nil }

func (r *Replica) serveAPI(w http.ResponseWriter, q *http.Request) {
	if r.d.API == nil {
		http.Error(w, "nobody to ask", http.StatusServiceUnavailable)
		return
	}
	q = q.WithContext(context.WithValue(q.Context(), forwarded{}, true))
	q.URL.Path = strings.TrimPrefix(q.URL.Path, apiPrefix)
	q.URL.RawPath = strings.TrimPrefix(q.URL.RawPath, apiPrefix)
	r.d.API.ServeHTTP(w, q)
}
