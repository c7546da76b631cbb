package replica

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"
)

const (
	// linkSilence is how long the other end of a link may say nothing by default; it says something four
	// times as often.
	linkSilence = 2 * time.Second
	// redialFirst is the pause before another try, which doubles up to redialMost.
	redialFirst = 5 * time.Millisecond
	redialMost  = 500 * time.Millisecond
	// refusals are how many in a row tell that there is no process any more.
	refusals = 2
	// buryAgain is how long after the last time a replica that was never reached since is buried again.
	buryAgain = 10 * time.Second
)

// A link is a connection to another replica, over which that one tells what switches it has. That it
// breaks, and is refused when dialled again, is how the end of a process is noticed at once.
type link struct {
	name   string
	member member
	stop   context.CancelFunc

	// The fields below belong to Run's goroutine.
	up       bool
	switches []Switch
	buried   time.Time // when its lease was revoked; zero: not since it was up
}

// keepLinks has a link to every other replica.
func (r *Replica) keepLinks() {
	for name, l := range r.links {
		if m, known := r.view.members[name]; !known || m != l.member {
			l.stop()
			delete(r.links, name)
		}
	}
	for name, m := range r.view.members {
		if name == r.d.Name || r.links[name] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(r.ctx)
		l := &link{name: name, member: m, stop: cancel}
		r.links[name] = l
		r.beside(func() { defer cancel(); r.runLink(ctx, l) })
	}
}

// errOther says that another process answers where a replica should.
var errOther = errors.New("another process answers there")

func (r *Replica) runLink(ctx context.Context, l *link) {
	for refused, wait := 0, redialFirst; ctx.Err() == nil; wait = min(2*wait, redialMost) {
		held, err := r.hold(ctx, l)
		if held {
			refused, wait = 0, redialFirst
			r.log.Info("the link to a replica is broken", "to", l.name, "error", err)
		}
		r.post(ctx, func() { l.up, l.switches = false, nil })
		if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, errOther) {
			refused++
		} else {
			refused = 0
		}
		if refused >= refusals {
			r.post(ctx, func() { r.bury(l) })
		}
		pause(ctx, wait)
	}
}

// bury revokes the lease of a replica that is no more. It is harmless where that is wrong: then it registers again.
func (r *Replica) bury(l *link) {
	if r.links[l.name] != l || !l.buried.IsZero() && time.Since(l.buried) < buryAgain {
		return
	}
	l.buried = time.Now()
	r.once("take "+l.name+", which is no more, off", func(ctx context.Context) error {
		r.log.Warn("a replica is gone: nobody answers there", "name", l.name, "peer", l.member.Peer)
		return r.revoke(ctx, l.member.lease)
	})
}

// A report is what goes over a link, one a line.
type report struct {
	Switches []Switch `json:"switches"`
}

// hold has a link until it breaks; held says that there was one.
func (r *Replica) hold(ctx context.Context, l *link) (held bool, err error) {
	nc, header, err := r.upgrade(ctx, l.member.Peer, "/link")
	if err != nil {
		return false, err
	}
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { _ = nc.Close() })()
	if header.Get(instanceHeader) != l.member.Instance {
		return false, errOther
	}
	lines := json.NewDecoder(bufio.NewReader(nc))
	for {
		if err := nc.SetReadDeadline(time.Now().Add(r.d.LinkSilence)); err != nil {
			return held, err
		}
		var said report
		if err := lines.Decode(&said); err != nil {
			return held, err
		}
		if !held {
			r.log.Info("linked to a replica", "to", l.name)
		}
		held = true
		r.post(ctx, func() { l.up, l.switches, l.buried = true, said.Switches, time.Time{} })
	}
}

// tell is the other end of hold: it reports until ctx or the connection ends.
func (r *Replica) tell(ctx context.Context, nc net.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.beside(func() { // notices the end: the other one says nothing
		defer cancel()
		_, _ = io.Copy(io.Discard, nc)
	})
	defer nc.Close()
	beat := time.NewTicker(r.d.LinkSilence / 4)
	defer beat.Stop()
	for {
		p := r.shown.Load()
		b := append([]byte(encode(report{p.own})), '\n')
		if nc.SetWriteDeadline(time.Now().Add(r.d.LinkSilence)) != nil {
			return
		}
		if _, err := nc.Write(b); err != nil {
			return
		}
		select {
		case <-p.next:
		case <-beat.C:
		case <-ctx.Done():
			return
		}
	}
}

// lives reports whether a process answers as the replica that a record says.
func (r *Replica) lives(ctx context.Context, m member) bool {
	nc, header, err := r.upgrade(ctx, m.Peer, "/link")
	if err != nil {
		return false
	}
	defer nc.Close()
	return header.Get(instanceHeader) == m.Instance
}

// upgrade dials a replica and turns the connection into one that is ours.
func (r *Replica) upgrade(ctx context.Context, peer, path string) (net.Conn, http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, r.d.LinkSilence)
	defer cancel()
	nc, err := r.dial(ctx, "tcp", peer)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = nc.Close() })
	header, br, err := r.ask(ctx, nc, peer, path)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = nc.Close()
		return nil, nil, err
	}
	return &buffered{nc, br}, header, nil
}

func (r *Replica) ask(ctx context.Context, nc net.Conn, peer, path string) (http.Header, *bufio.Reader, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+peer+path, nil)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "flowtap")
	req.Header.Set(secretHeader, r.secretNow())
	if err := req.Write(nc); err != nil {
		return nil, nil, err
	}
	br := bufio.NewReader(nc)
	answer, err := http.ReadResponse(br, req)
	if err != nil {
		return nil, nil, err
	}
	if answer.StatusCode != http.StatusSwitchingProtocols {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 512))
		_ = answer.Body.Close()
		if answer.StatusCode == http.StatusUnauthorized {
			r.forgetSecret()
		}
		return nil, nil, fmt.Errorf("%s: %s", answer.Status, text)
	}
	return answer.Header, br, nil
}

// buffered is a connection of which some bytes may have been read already.
type buffered struct {
	net.Conn
	r *bufio.Reader
}

func (b *buffered) Read(p []byte) (int, error) { return b.r.Read(p) }
