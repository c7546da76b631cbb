package store

import (
	"context"
	"log/slog"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// The embedded etcd has nobody else to look after its space. Its history is compacted every few minutes
// anyhow; where its database comes near the quota, or has reached it, which stops all writes until an
// alarm is disarmed, history goes at once, the file is made smaller, and the alarm disarmed.
const (
	tendEvery = time.Second
	// tendLeast and tendMost are the pauses after tending that did not help.
	tendLeast, tendMost = time.Second, time.Minute
)

// tend keeps the embedded etcd below its quota until ctx ends.
func (m *member) tend(ctx context.Context, log *slog.Logger) {
	wait := tendEvery
	for pause(ctx, wait) {
		helped, err := m.makeRoom(ctx, log)
		switch {
		case err != nil && ctx.Err() == nil:
			log.Error("cannot make room in the embedded etcd; will try again", "error", err)
			wait = min(max(2*wait, tendLeast), tendMost)
		case !helped:
			wait = min(2*wait, tendMost)
		default:
			wait = tendEvery
		}
	}
}

// makeRoom reports whether the database is, or became, well below its quota.
func (m *member) makeRoom(ctx context.Context, log *slog.Logger) (bool, error) {
	status, err := m.client.Status(ctx, "")
	if err != nil {
		return false, err
	}
	alarms, err := m.client.AlarmList(ctx)
	if err != nil {
		return false, err
	}
	full := false
	for _, a := range alarms.Alarms {
		full = full || a.Alarm == pb.AlarmType_NOSPACE
	}
	if !full && status.DbSize < m.quota/4*3 {
		return true, nil
	}
	before := status.DbSize
	if _, err := m.client.Compact(ctx, status.Header.Revision, clientv3.WithCompactPhysical()); err != nil && !compacted(err) {
		return false, err
	}
	if err := m.etcd.Server.Backend().Defrag(); err != nil { // the client needs a listener for it
		return false, err
	}
	if status, err = m.client.Status(ctx, ""); err != nil {
		return false, err
	}
	if status.DbSize >= m.quota/10*9 {
		log.Error("the embedded etcd is full of what is in use: delete objects", "bytes", status.DbSize, "quota", m.quota)
		return false, nil
	}
	if full {
		if _, err := m.client.AlarmDisarm(ctx, &clientv3.AlarmMember{}); err != nil {
			return false, err
		}
	}
	log.Warn("made room in the embedded etcd", "was_full", full, "bytes_before", before, "bytes", status.DbSize, "quota", m.quota)
	return status.DbSize < m.quota/4*3, nil
}
