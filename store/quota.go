package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/flowtap/flowtap/access"
	"github.com/flowtap/flowtap/topology"
)

// A QuotaError says that a project has no room for More objects of a collection, besides the Have that it has.
type QuotaError struct {
	Project, Collection string
	Limit, Have, More   int
}

func (e *QuotaError) Error() string {
	if e.Have < e.Limit {
		return fmt.Sprintf("project %s may have %d %s, has %d and would need %d more", e.Project, e.Limit, e.Collection, e.Have, e.More)
	}
	return fmt.Sprintf("project %s may have %d %s, and has them", e.Project, e.Limit, e.Collection)
}

// quota proves, in the transaction that creates an object, that its project may have one more. There is no counter
// that could go wrong: the objects are counted, and the transaction holds only if the project is as it was and no object
// of the kind has been created since. What is deleted meanwhile does no harm.
type quota struct {
	s                   *Store
	project, collection string // project is empty where nothing is counted
	tried               bool   // once in vain
	want                int    // how many more there are to be
	limit               int    // 0: no bound
	rev                 int64  // the project's; 0: it has no object
	cmps                []clientv3.Cmp
}

// quota begins a creation. Where there is a bound it waits until nobody else in this process creates what the
// same quota counts: they would only make each other's transactions fail. done ends that.
func (s *Store) quota(ctx context.Context, collection, project string) (q *quota, done func(), err error) {
	q = &quota{s: s, project: project, collection: collection, want: 1}
	if project == "" {
		return q, func() {}, nil
	}
	// The transaction proves that what the mirror has is what etcd has.
	s.mirror.mu.Lock()
	p := s.mirror.projects.objects[project]
	s.mirror.mu.Unlock()
	if q.boundBy(p); q.limit == 0 {
		return q, func() {}, nil
	}
	done, err = s.creating.take(ctx, project+"/"+collection)
	return q, done, err
}

// boundBy takes the limit from a project; nil: it has no object.
func (q *quota) boundBy(p *Project) {
	var quotas access.Quotas
	q.rev = 0
	if p != nil {
		quotas, q.rev = p.Spec.Quotas, p.Revision
	}
	q.limit = quotas.Limit(q.project, q.collection)
}

// check counts, before each try of the transaction, and gives a *QuotaError where there is no room.
func (q *quota) check(ctx context.Context) error {
	if q.cmps = nil; q.project == "" {
		return nil
	}
	looked := q.tried
	if looked {
		p, err := q.s.projects.Get(ctx, q.project)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		q.boundBy(p)
	}
	q.tried = true
	q.cmps = append(q.cmps, clientv3.Compare(clientv3.ModRevision(objectKey(CollectionProjects, q.project)), "=", q.rev))
	if q.limit == 0 {
		return nil
	}
	prefix, n, rev, err := q.count(ctx)
	if err != nil {
		return err
	}
	if n+q.want > q.limit && !looked {
		return q.check(ctx) // the mirror's project may be old
	}
	if n+q.want > q.limit {
		return &QuotaError{q.project, q.collection, q.limit, n, q.want}
	}
	q.cmps = append(q.cmps, clientv3.Compare(clientv3.CreateRevision(prefix), "<", rev+1).WithPrefix())
	return nil
}

// count gives how many objects there are, as of which revision, and the keys that are created with each.
func (q *quota) count(ctx context.Context) (prefix string, n int, rev int64, err error) {
	if q.project != topology.DefaultProject {
		prefix = refsOf(CollectionProjects, q.project) + q.collection + "/"
		r, err := q.s.read(ctx, clientv3.OpGet(prefix, clientv3.WithPrefix(), clientv3.WithCountOnly()))
		if err != nil {
			return "", 0, 0, err
		}
		return prefix, int(r.Responses[0].GetResponseRange().Count), r.Header.Revision, nil
	}
	// Objects of the project default refer to no project: they are those whose ids say so.
	prefix = objectsPrefix + q.collection + "/"
	r, err := q.s.read(ctx, clientv3.OpGet(prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly()))
	if err != nil {
		return "", 0, 0, err
	}
	for _, kv := range r.Responses[0].GetResponseRange().Kvs {
		if id := strings.TrimPrefix(string(kv.Key), prefix); topology.ProjectOf(id) == topology.DefaultProject {
			n++
		}
	}
	return prefix, n, r.Header.Revision, nil
}

// turns are locks by name that can be waited for with a context.
type turns struct {
	mu    sync.Mutex // guards all below
	lines map[string]*line
}

type line struct {
	token   chan struct{} // holds one where somebody has the turn
	waiting int           // those who have it or want it
}

func (t *turns) take(ctx context.Context, name string) (func(), error) {
	t.mu.Lock()
	l := t.lines[name]
	if l == nil {
		l = &line{token: make(chan struct{}, 1)}
		if t.lines == nil {
			t.lines = map[string]*line{}
		}
		t.lines[name] = l
	}
	l.waiting++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if l.waiting--; l.waiting == 0 {
			delete(t.lines, name)
		}
	}
	select {
	case l.token <- struct{}{}:
		return func() { <-l.token; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, readError(ctx.Err())
	}
}

// CheckQuota gives the *QuotaError that a creation would fail with now.
func (s *Store) CheckQuota(ctx context.Context, collection, project string) error {
	q := &quota{s: s, project: project, collection: collection, want: 1, tried: true}
	return q.check(ctx)
}
