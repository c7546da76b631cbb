package controller

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/store"
)

// fakeStore takes statuses, one at a time, when the test says so.
type fakeStore struct {
	mu    sync.Mutex // guards wrote and err
	wrote []string
	err   error
	hold  chan struct{} // a write waits for one
}

func (f *fakeStore) put(ctx context.Context, id string, st flowtap.TapStatus) error {
	select {
	case <-f.hold:
	case <-ctx.Done():
		return ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	f.wrote = append(f.wrote, id+" "+st.Reason)
	return nil
}

func (f *fakeStore) all() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.wrote...)
}

// writing runs one writer on a fake store.
func writing(t *testing.T) (*statusWriter, *fakeStore) {
	w, f := newStatusWriter(new(store.Store), slog.New(slog.DiscardHandler)), &fakeStore{hold: make(chan struct{})}
	w.putTap = f.put
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { w.run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return w, f
}

func TestTheLatestStatusWins(t *testing.T) {
	w, f := writing(t)
	w.tap("a", flowtap.TapStatus{Reason: "1"})
	f.hold <- struct{}{} // taken: the first is being written
	for _, r := range []string{"2", "3", "4"} {
		w.tap("a", flowtap.TapStatus{Reason: r})
	}
	close(f.hold)
	w.flush(context.Background())
	got := f.all()
	require.Equal(t, "a 1", got[0])
	require.Equal(t, "a 4", got[len(got)-1], "%v", got)
}

func TestAStatusIsTriedAgainUntilSomethingNewerTakesItsPlace(t *testing.T) {
	w, f := writing(t)
	f.err = errors.New("trouble")
	w.tap("a", flowtap.TapStatus{Reason: "old"})
	w.tap("b", flowtap.TapStatus{Reason: "kept"})
	f.hold <- struct{}{}
	f.hold <- struct{}{}
	f.mu.Lock()
	f.err = nil
	f.mu.Unlock()
	w.tap("a", flowtap.TapStatus{Reason: "new"})
	close(f.hold)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	w.flush(ctx)
	require.NoError(t, ctx.Err())
	got := f.all()
	require.Contains(t, got, "a new")
	require.Contains(t, got, "b kept")
}

func TestFlushEndsWithItsContext(t *testing.T) {
	w, f := writing(t)
	defer close(f.hold)
	w.tap("a", flowtap.TapStatus{})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	w.flush(ctx)
	require.Error(t, ctx.Err())
}
