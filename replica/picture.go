package replica

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/flowtap/flowtap/openflow"
)

// A picture is what is known of the cluster, for whoever is not Run's goroutine.
type picture struct {
	own       []Switch                   // connected here
	connected map[openflow.DPID][]string // to replicas that are reached
	masters   map[openflow.DPID]string
	lease     clientv3.LeaseID
	led       bool   // this replica leads
	peer      string // of the leader, where it is another
	replicas  []Info
	next      chan struct{} // closed when there is a newer picture
}

// Info is a replica, as others see it.
type Info struct {
	Name, Peer, Version string
	Since               time.Time
	Leader              bool
	// Reached says that this replica has a link to it, or is it.
	Reached bool
	// Switches counts those connected to it, Masters those whose master it is.
	Switches, Masters int
}

// show makes a picture.
func (r *Replica) show() {
	p := &picture{own: r.board.switches(), connected: map[openflow.DPID][]string{}, masters: map[openflow.DPID]string{},
		lease: r.lease, led: r.leads(), next: make(chan struct{})}
	all := r.everybody()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		for _, s := range all[name] {
			p.connected[s.DPID] = append(p.connected[s.DPID], name)
		}
	}
	counts := map[string]int{}
	for d, m := range r.view.masters {
		p.masters[d] = m.Replica
		counts[m.Replica]++
	}
	for _, name := range slices.Sorted(maps.Keys(r.view.members)) {
		m := r.view.members[name]
		switches, reached := all[name]
		p.replicas = append(p.replicas, Info{Name: name, Peer: m.Peer, Version: m.Version, Since: m.Since,
			Leader: r.view.leader.name == name, Reached: reached, Switches: len(switches), Masters: counts[name]})
	}
	if r.view.leader.name != r.d.Name {
		p.peer = r.view.members[r.view.leader.name].Peer
	}
	was := r.shown.Swap(p)
	close(was.next)
}

// Replicas lists the registered ones by name.
func (r *Replica) Replicas() []Info { return r.shown.Load().replicas }

// Place says which replica is a switch's master, and which it is connected to.
func (r *Replica) Place(d openflow.DPID) (master string, connected []string) {
	p := r.shown.Load()
	return p.masters[d], p.connected[d]
}

// Changed is closed when what the methods above say may have changed.
func (r *Replica) Changed() <-chan struct{} { return r.shown.Load().next }

// ErrNoLeader says that no replica leads, as far as is known here.
var ErrNoLeader = errors.New("no replica leads now")

// Leader says who leads: this replica, or another whose REST interface is at a URL, for requests by Transport.
func (r *Replica) Leader() (here bool, there *url.URL, err error) {
	switch p := r.shown.Load(); {
	case p.led:
		return true, nil, nil
	case p.peer == "":
		return false, nil, ErrNoLeader
	default:
		return false, &url.URL{Scheme: "http", Host: p.peer, Path: apiPrefix}, nil
	}
}

// Transport sends requests to other replicas.
func (r *Replica) Transport() http.RoundTripper { return r.peers.Transport }

// Settled returns when the leader, another replica, has carried out a revision, or ctx ends.
func (r *Replica) Settled(ctx context.Context, revision int64) error {
	p := r.shown.Load()
	if p.peer == "" {
		return ErrNoLeader
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.peer+"/settled?revision="+strconv.FormatInt(revision, 10), nil)
	if err != nil {
		return err
	}
	answer, err := r.peers.Do(q)
	if err != nil {
		return err
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return ErrNoLeader
	}
	return nil
}
