package replica

import (
	"context"
	"net"
	"net/url"
	"strconv"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/flowtap/flowtap/openflow"
)

// A Term is one replica's time as the leader.
type Term struct {
	// Epoch is the create revision of LeaderKey, which every write of the leader's has to compare.
	Epoch int64
	// Switches gives a connection to each switch, by its master. Its far ends need ofconn's Config.Relayed.
	Switches net.Listener

	r      *Replica
	ctx    context.Context
	cancel context.CancelFunc
	lease  clientv3.LeaseID
	feed   *feeder

	// The fields below belong to Run's goroutine.
	over  bool
	able  map[openflow.DPID][]string // as of the last look
	feeds map[openflow.DPID]*feed
}

// End ends the term: a write of its was refused.
func (t *Term) End() { t.cancel() }

// handover is how long a switch that another replica still has is waited for.
const handover = 2 * time.Second

// Elsewhere returns when a switch whose connection ended is connected to no replica that is reached, or ctx
// ends, or it has had time to come back by another master.
func (t *Term) Elsewhere(ctx context.Context, d openflow.DPID) {
	ctx, cancel := context.WithTimeout(ctx, handover)
	defer cancel()
	for {
		p := t.r.shown.Load()
		if len(p.connected[d]) == 0 {
			return
		}
		select {
		case <-p.next:
		case <-ctx.Done():
			return
		}
	}
}

// leads reports whether this replica is the leader, as far as it knows.
func (r *Replica) leads() bool {
	t := r.term
	return t != nil && !t.over && r.view.leader.epoch == t.Epoch && r.registered()
}

// keepTerm begins and ends this replica's time as the leader, as etcd says.
func (r *Replica) keepTerm() {
	is := r.view.leader
	if t := r.term; t != nil {
		if t.Epoch != is.epoch || t.lease != r.lease {
			t.cancel()
		}
		r.keepFeeds()
		return
	}
	if is.name != r.d.Name || is.lease != r.lease || r.lease == 0 || is.epoch <= r.ended {
		return
	}
	t := &Term{Epoch: is.epoch, r: r, lease: r.lease, feeds: map[openflow.DPID]*feed{}, feed: newFeeder()}
	t.Switches = t.feed
	t.ctx, t.cancel = context.WithCancel(r.ctx)
	r.term = t
	r.log.Info("this replica leads", "epoch", t.Epoch)
	r.beside(func() {
		err := r.d.Lead(t.ctx, t)
		failed := err != nil && t.ctx.Err() == nil
		t.cancel()
		_ = t.feed.Close()
		r.post(r.ctx, func() {
			r.log.Info("this replica leads no more", "epoch", t.Epoch)
			r.ended, r.term = t.Epoch, nil
			if failed {
				r.fatal = err
			}
		})
	})
	r.keepFeeds()
}

func (r *Replica) endTerm() {
	if r.term != nil {
		r.term.cancel()
	}
}

// A feed keeps the leader connected to one switch by one connection of its master's.
type feed struct {
	master string
	number int // of the switch's connection to its master
	stop   context.CancelFunc
}

// keepFeeds has a feed for every switch whose master has said that it is.
func (r *Replica) keepFeeds() {
	t := r.term
	due := map[openflow.DPID]Switch{}
	if r.leads() {
		for name, switches := range r.everybody() {
			for _, s := range switches {
				if m := r.view.masters[s.DPID]; m.Replica == name && s.Master && s.Generation == m.generation() {
					due[s.DPID] = s
				}
			}
		}
	}
	for d, f := range t.feeds {
		if s, ok := due[d]; !ok || f.number != s.Number || f.master != r.view.masters[d].Replica {
			f.stop()
			delete(t.feeds, d)
		}
	}
	for d, s := range due {
		if t.feeds[d] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(t.ctx)
		f := &feed{r.view.masters[d].Replica, s.Number, cancel}
		t.feeds[d] = f
		peer := r.view.members[f.master].Peer
		r.beside(func() { defer cancel(); t.run(ctx, s, f, peer) })
	}
}

// run has a relay to a switch, and another when it ends.
func (t *Term) run(ctx context.Context, s Switch, f *feed, peer string) {
	for wait := 10 * time.Millisecond; ctx.Err() == nil; wait = min(2*wait, time.Second) {
		began := time.Now()
		nc, err := t.open(ctx, s, f, peer)
		if err == nil {
			err = t.feed.offer(ctx, nc, s.From)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			t.r.log.Info("no relay to a switch yet", "dpid", s.DPID, "master", f.master, "error", err)
		}
		if time.Since(began) > time.Second {
			wait = 10 * time.Millisecond
		}
		pause(ctx, wait)
	}
}

// open begins a relay.
func (t *Term) open(ctx context.Context, s Switch, f *feed, peer string) (net.Conn, error) {
	if f.master == t.r.d.Name {
		if err := t.r.board.mayRelay(s.DPID, t.Epoch); err != nil {
			return nil, err
		}
		near, far := net.Pipe()
		t.r.beside(func() { _ = t.r.board.relay(ctx, s.DPID, t.Epoch, near) }) // the far end tells
		return far, nil
	}
	q := url.Values{"dpid": {s.DPID.String()}, "epoch": {strconv.FormatInt(t.Epoch, 10)}}
	nc, _, err := t.r.upgrade(ctx, peer, "/relay?"+q.Encode())
	return nc, err
}
