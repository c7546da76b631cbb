package replica

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/flowtap/flowtap/openflow"
)

// view is what etcd says of the cluster, as of when it was last heard. While etcd is away it stays.
type view struct {
	loaded   bool
	revision int64 // at least so much is in it
	members  map[string]member
	leader   leadership
	masters  map[openflow.DPID]mastership
}

func newView() view {
	return view{members: map[string]member{}, masters: map[openflow.DPID]mastership{}}
}

// apply takes one change.
func (v *view) apply(deleted bool, kv *mvccpb.KeyValue) error {
	switch key := string(kv.Key); {
	case key == LeaderKey && deleted:
		v.leader = leadership{}
	case key == LeaderKey:
		v.leader = leadership{string(kv.Value), kv.CreateRevision, clientv3.LeaseID(kv.Lease)}
	case strings.HasPrefix(key, replicasPrefix) && deleted:
		delete(v.members, strings.TrimPrefix(key, replicasPrefix))
	case strings.HasPrefix(key, replicasPrefix):
		name, m, err := readMember(kv)
		if err != nil {
			return err
		}
		v.members[name] = m
	case strings.HasPrefix(key, mastersPrefix) && deleted:
		d, err := dpidOf(kv)
		if err != nil {
			return err
		}
		delete(v.masters, d)
	case strings.HasPrefix(key, mastersPrefix):
		d, m, err := readMastership(kv)
		if err != nil {
			return err
		}
		v.masters[d] = m
	}
	return nil
}

// historyEvery is how often a view asks whether etcd is still the one that it is of.
const historyEvery = 5 * time.Second

// follow keeps the view up to date until ctx ends.
func (r *Replica) follow(ctx context.Context) {
	for ctx.Err() == nil {
		err := r.watch(ctx)
		if ctx.Err() != nil {
			return
		}
		r.log.Info("the watch on the replicas starts over", "error", err)
		pause(ctx, 200*time.Millisecond)
	}
}

// watch reads everything and then every change.
func (r *Replica) watch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	asking, done := context.WithTimeout(ctx, requestTimeout)
	got, err := r.client.Txn(asking).Then(
		clientv3.OpGet(replicasPrefix, clientv3.WithPrefix()), clientv3.OpGet(LeaderKey), clientv3.OpGet(mastersPrefix, clientv3.WithPrefix())).Commit()
	done()
	if err != nil {
		return err
	}
	v := newView()
	v.loaded = true
	for _, part := range got.Responses {
		for _, kv := range part.GetResponseRange().Kvs {
			if err := v.apply(false, kv); err != nil {
				return err
			}
		}
	}
	rev := got.Header.Revision
	v.revision = rev
	if !r.post(ctx, func() { r.view = v }) {
		return ctx.Err()
	}
	watching := clientv3.WithRequireLeader(ctx)
	from := clientv3.WithRev(rev + 1)
	members := r.client.Watch(watching, replicasPrefix, clientv3.WithPrefix(), from)
	leader := r.client.Watch(watching, LeaderKey, from)
	masters := r.client.Watch(watching, mastersPrefix, clientv3.WithPrefix(), from)
	history := time.NewTicker(historyEvery)
	defer history.Stop()
	checked := make(chan error, 1) // gets one answer a check
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for {
		var w clientv3.WatchResponse
		select {
		case w = <-members:
		case w = <-leader:
		case w = <-masters:
		case <-history.C:
			seen := rev
			wg.Go(func() { checked <- r.otherHistory(ctx, got.Header.ClusterId, seen) })
			history.Stop()
			continue
		case err := <-checked:
			if err != nil {
				return err
			}
			history.Reset(historyEvery)
			continue
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := w.Err(); err != nil {
			return err
		}
		if len(w.Events) == 0 {
			if w.Header == nil {
				return errors.New("the watch ended")
			}
			continue
		}
		rev = max(rev, w.Header.Revision)
		if !r.post(ctx, func() { r.changed(w.Events) }) {
			return ctx.Err()
		}
	}
}

// changed takes changes that the watch brought.
func (r *Replica) changed(events []*clientv3.Event) {
	for _, e := range events {
		r.view.revision = max(r.view.revision, e.Kv.ModRevision)
		if err := r.view.apply(e.Type == mvccpb.DELETE, e.Kv); err != nil {
			r.log.Error("cannot read what is stored of the replicas", "error", err)
		}
	}
}

// otherHistory asks whether a revision that was seen is part of etcd's past: a watch on one that was
// restored from a backup would wait, silent. That etcd is away says nothing.
func (r *Replica) otherHistory(ctx context.Context, cluster uint64, seen int64) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	got, err := r.client.Get(ctx, LeaderKey)
	if err != nil {
		return nil
	}
	if got.Header.ClusterId != cluster || got.Header.Revision < seen {
		return fmt.Errorf("etcd was restored or replaced: cluster %x revision %d, was %x %d",
			got.Header.ClusterId, got.Header.Revision, cluster, seen)
	}
	return nil
}
