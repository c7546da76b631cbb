package replica

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// keepLease has a lease for as long as ctx lasts, and a new one whenever etcd says that it is gone. That
// etcd cannot be asked ends nothing.
func (r *Replica) keepLease(ctx context.Context) {
	ttl := int64(max(r.d.LeaseTTL/time.Second, 1))
	for ctx.Err() == nil {
		asking, cancel := context.WithTimeout(ctx, requestTimeout)
		granted, err := r.client.Grant(asking, ttl)
		cancel()
		if err != nil {
			if ctx.Err() == nil {
				r.log.Warn("cannot get a lease from etcd; will try again", "error", err)
			}
			pause(ctx, 200*time.Millisecond)
			continue
		}
		r.post(ctx, func() { r.lease = granted.ID })
		r.keepAlive(ctx, granted.ID)
		r.post(ctx, func() { r.lease = 0 })
	}
}

// keepAlive returns when a lease is gone.
func (r *Replica) keepAlive(ctx context.Context, id clientv3.LeaseID) {
	every := time.NewTicker(r.d.LeaseTTL / 3)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.regrant:
		case <-every.C:
		}
		asking, cancel := context.WithTimeout(ctx, r.d.LeaseTTL/3)
		_, err := r.client.KeepAliveOnce(asking, id)
		cancel()
		if errors.Is(err, rpctypes.ErrLeaseNotFound) {
			r.log.Warn("the lease is gone, so this replica leads no more and registers anew")
			return
		}
	}
}

// leaseNow is the lease with which this replica is registered.
func (r *Replica) leaseNow() clientv3.LeaseID { return r.shown.Load().lease }

// registered reports whether the view has this replica with its present lease.
func (r *Replica) registered() bool {
	return r.lease != 0 && r.view.members[r.d.Name].lease == r.lease
}

// register writes this replica's record, where it is not. One of the same name is a process before this one,
// or another that lives.
func (r *Replica) register() {
	was, known := r.view.members[r.d.Name]
	if known && was.lease == r.lease {
		return
	}
	lease := r.lease
	r.once("register", func(ctx context.Context) error {
		if known && was.Instance != r.instance && r.lives(ctx, was) {
			err := r.nameTaken(was)
			r.post(ctx, func() { r.fatal = err })
			return nil
		}
		if known {
			return r.revoke(ctx, was.lease)
		}
		key := replicasPrefix + r.d.Name
		record := Record{Peer: r.d.Advertise, Version: r.d.Version, Since: r.since, Instance: r.instance}
		err := r.commit(ctx, []clientv3.Cmp{absent(key)}, clientv3.OpPut(key, encode(record), clientv3.WithLease(lease)),
			clientv3.OpTxn([]clientv3.Cmp{absent(LeaderKey)}, []clientv3.Op{clientv3.OpPut(LeaderKey, r.d.Name, clientv3.WithLease(lease))}, nil))
		if err == nil {
			r.log.Info("registered", "peer", r.d.Advertise)
		}
		return err
	})
}

func absent(key string) clientv3.Cmp { return clientv3.Compare(clientv3.Version(key), "=", 0) }

// wantLease has the lease looked at now.
func (r *Replica) wantLease() {
	select {
	case r.regrant <- struct{}{}:
	default:
	}
}

// campaign makes this replica the leader, where there is none.
func (r *Replica) campaign() {
	mine := r.view.members[r.d.Name]
	if r.view.leader.name != "" || !r.registered() {
		return
	}
	lease := r.lease
	r.once("become the leader", func(ctx context.Context) error {
		return r.commit(ctx, []clientv3.Cmp{absent(LeaderKey), clientv3.Compare(clientv3.CreateRevision(replicasPrefix+r.d.Name), "=", mine.created)},
			clientv3.OpPut(LeaderKey, r.d.Name, clientv3.WithLease(lease)))
	})
}

// revoke ends a lease, and with it everything of a replica's. One that lives registers again.
func (r *Replica) revoke(ctx context.Context, id clientv3.LeaseID) error {
	_, err := r.client.Revoke(ctx, id)
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return nil
	}
	return err
}

// leave takes the registration back.
func (r *Replica) leave() {
	if r.lease == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := r.revoke(ctx, r.lease); err != nil {
		r.log.Info("cannot take back the registration", "error", err)
	}
}
