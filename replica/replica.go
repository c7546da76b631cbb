package replica

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/ofconn"
)

// Deps is what a replica works with. What is marked may be left out.
type Deps struct {
	Client *clientv3.Client
	// Name is this replica's, and of no other that lives.
	Name    string
	Version string
	// Switches is where switches connect, Peers where other replicas do. Run closes both.
	Switches, Peers net.Listener
	// Advertise is what other replicas dial, host:port; empty: the address of Peers.
	Advertise string
	// LeaseTTL is how long a replica that says nothing counts as alive, whole seconds; zero: 3 s.
	LeaseTTL time.Duration
	// LinkSilence is how long another replica may say nothing before it counts as out of reach; zero: 2 s.
	LinkSilence time.Duration
	// Conn tunes the connections to switches.
	Conn ofconn.Config
	// Enter says whether a connection may be the switch that it says it is, and what to call when it has ended;
	// nil: all may.
	Enter func(ctx context.Context, conn *ofconn.Conn) (leave func(), ok bool)
	// Lead serves switches as their leader until ctx ends. An error ends Run.
	Lead func(ctx context.Context, t *Term) error
	// Settled and API are asked by other replicas of the leader: see Settled and Leader. May be nil.
	Settled func(ctx context.Context, revision int64) error
	API     http.Handler
	// PeerServer and PeerClient protect what replicas say to each other; nil: plain TCP.
	PeerServer *tls.Config
	PeerClient func() *tls.Config
	Logger     *slog.Logger
}

// requestTimeout bounds one request to etcd, or to another replica.
const requestTimeout = 5 * time.Second

// A Replica is this process among its like. One goroutine, that of Run, owns its picture of the cluster and
// decides; whatever waits runs beside and posts what came of it.
type Replica struct {
	d        Deps
	log      *slog.Logger
	client   *clientv3.Client
	instance string
	secret   atomic.Pointer[string]
	board    *board
	peers    *http.Client
	inbox    chan func() // full: the poster waits
	shown    atomic.Pointer[picture]

	// The fields below belong to the goroutine of Run.
	ctx     context.Context
	work    sync.WaitGroup
	fatal   error
	view    view
	since   time.Time
	lease   clientv3.LeaseID // 0: none now
	regrant chan struct{}    // asks for a new lease; holds one
	wrote   int64            // revision of the last write that the view must have before the next
	busy    map[string]bool  // what runs beside, and is not to be started again
	links   map[string]*link
	term    *Term
	ended   int64     // epoch of the last term
	unrest  time.Time // when switches or replicas last came or went
	settle  *time.Timer
}

// New makes a replica; Run starts it.
func New(d Deps) *Replica {
	if d.LeaseTTL == 0 {
		d.LeaseTTL = 3 * time.Second
	}
	if d.LinkSilence == 0 {
		d.LinkSilence = linkSilence
	}
	if d.Advertise == "" {
		d.Advertise = d.Peers.Addr().String()
	}
	r := &Replica{d: d, log: d.Logger.With("replica", d.Name), client: d.Client, instance: rand.Text(), inbox: make(chan func(), 1024),
		view: newView(), since: time.Now().UTC(), regrant: make(chan struct{}, 1), busy: map[string]bool{}, links: map[string]*link{}}
	r.shown.Store(&picture{next: make(chan struct{})})
	r.board = newBoard(d.Name, d.Logger, func() { r.nudge() })
	r.board.enter = d.Enter
	r.peers = &http.Client{Transport: r.transport()}
	return r
}

// Run takes part until ctx ends, or something fails for good, and returns when everything that it
// started has ended. It then takes its registration back, so that others need not wait for its end.
func (r *Replica) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.ctx = ctx
	errs := make(chan error, 2) // one for each server
	r.beside(func() { errs <- r.board.serve(ctx, r.d.Switches, r.d.Conn) })
	r.beside(func() { errs <- r.servePeers(ctx) })
	r.beside(func() { r.follow(ctx) })
	r.beside(func() { r.keepLease(ctx) })
	r.settle = time.NewTimer(time.Hour)
	defer r.settle.Stop()
	err := r.loop(ctx, errs)
	cancel()
	r.endTerm()
	for _, l := range r.links {
		l.stop()
	}
	done := make(chan struct{})
	go func() { r.work.Wait(); close(done) }()
	for waiting := true; waiting; { // for those who post
		select {
		case <-r.inbox:
		case <-done:
			waiting = false
		}
	}
	r.leave()
	return err
}

func (r *Replica) loop(ctx context.Context, errs <-chan error) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-errs:
			return err // nil when ctx ended
		case f := <-r.inbox:
			f()
		case <-r.settle.C:
		}
		for more := true; more; { // what else waits, before anything is decided
			select {
			case f := <-r.inbox:
				f()
			default:
				more = false
			}
		}
		r.step()
		if r.fatal != nil {
			return r.fatal
		}
	}
}

// step does what is due after anything has changed.
func (r *Replica) step() {
	r.follows()
	if r.view.loaded && r.lease != 0 && r.view.revision >= r.wrote {
		r.register()
		r.campaign()
	}
	r.keepTerm()
	r.keepMasters()
	r.show()
}

// follows has what depends on the view, and on nothing else, follow it.
func (r *Replica) follows() {
	r.board.know(r.view.leader.epoch, r.view.masters)
	r.keepLinks()
	for _, fix := range r.board.stale() {
		r.raise(fix)
	}
}

// post has f called by Run's goroutine; false when ctx ended first.
func (r *Replica) post(ctx context.Context, f func()) bool {
	select {
	case r.inbox <- f:
		return true
	case <-ctx.Done():
		return false
	}
}

// nudge has everything looked at again. It never waits: a full inbox means that it will be.
func (r *Replica) nudge() {
	select {
	case r.inbox <- func() { r.unrest = time.Now() }:
	default:
	}
}

// beside runs f in a goroutine that Run waits for.
func (r *Replica) beside(f func()) { r.work.Go(f) }

// once runs f beside, unless what has this name still runs. It is looked again when f has returned.
func (r *Replica) once(name string, f func(ctx context.Context) error) {
	if r.busy[name] {
		return
	}
	r.busy[name] = true
	r.beside(func() {
		ctx, cancel := context.WithTimeout(r.ctx, requestTimeout)
		err := f(ctx)
		cancel()
		switch {
		case errors.Is(err, errOvertaken):
			pause(r.ctx, 20*time.Millisecond)
		case err != nil && r.ctx.Err() == nil:
			r.log.Warn("cannot "+name+" now; will try again", "error", err)
			pause(r.ctx, 200*time.Millisecond)
		}
		r.post(r.ctx, func() { delete(r.busy, name) })
	})
}

// errOvertaken says that a compare failed: what it was based on will be seen to have changed.
var errOvertaken = errors.New("overtaken")

// commit makes a write that depends on what the view says. Nothing like it is done before the view has it.
func (r *Replica) commit(ctx context.Context, cmps []clientv3.Cmp, ops ...clientv3.Op) error {
	done, err := r.client.Txn(ctx).If(cmps...).Then(ops...).Commit()
	switch {
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		r.wantLease()
		return errOvertaken
	case err != nil:
		return err
	case !done.Succeeded:
		return errOvertaken
	}
	r.post(ctx, func() { r.wrote = max(r.wrote, done.Header.Revision) })
	return nil
}

// pause waits; false when ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// raise names this replica a switch's master anew, with a generation beyond the one that the switch knows.
// Where somebody newer is master the compare fails. Where nobody is, the switch's generation is one that etcd never
// gave: it was restored from a backup, and its revision may be beyond that by now or not.
func (r *Replica) raise(w want) {
	r.once("raise the generation of "+w.dpid.String(), func(ctx context.Context) error {
		got, err := r.client.Get(ctx, LeaderKey)
		if err != nil {
			return err
		}
		next := mastership{Replica: w.Replica, Base: w.Base}
		now := uint64(got.Header.Revision) // #nosec G115 -- revisions of etcd are positive
		if w.switchHas > w.Base+now {
			next.Base = w.switchHas - now
		}
		lease := r.leaseNow()
		return r.commit(ctx, []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(masterKey(w.dpid)), "=", w.revision)},
			clientv3.OpPut(masterKey(w.dpid), encode(next), clientv3.WithLease(lease)))
	})
}

// want is a mastership that a switch refused as stale.
type want struct {
	dpid openflow.DPID
	mastership
	switchHas uint64 // generation
}

// errName says that the name is taken.
var errName = errors.New("is in use")

func (r *Replica) nameTaken(m member) error {
	return fmt.Errorf("--name %s %w: another flowtapd of that name answers at %s", r.d.Name, errName, m.Peer)
}
