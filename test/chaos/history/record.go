package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

const defaultPause = 25 * time.Millisecond

// A recorder runs clients and writes down what they did and saw.
type recorder struct {
	seed            int64
	clients, groups int
	rivals          int
	first           int // group
	pause           time.Duration
	monitor         string
	replicas        []string // base URLs
	out             io.Writer

	begin time.Time

	mu     sync.Mutex // guards what follows, and writing to out
	tokens int
	known  map[string]revision // by id: the last revision seen that an odd token stands for
	posts  map[string]value    // by id: the last POST whose outcome is unknown
	failed error
}

// A revision of an object and the write that made it.
type revision struct {
	text  string
	value value
}

// run works until ctx ends, then reads everything through each replica.
func (r *recorder) run(ctx context.Context) error {
	r.begin, r.known, r.posts = time.Now(), map[string]revision{}, map[string]value{}
	var wg sync.WaitGroup
	for n := range r.clients + r.rivals {
		c := newClient(r, n, r.replicas[n%len(r.replicas)])
		c.rival = n >= r.clients
		wg.Go(func() { c.run(ctx) })
	}
	wg.Wait()
	errs := []error{r.failed}
	for n, base := range r.replicas {
		errs = append(errs, newClient(r, r.clients+r.rivals+n, base).readAll())
	}
	return errors.Join(errs...)
}

func (r *recorder) group(n int) string { return fmt.Sprintf("g%d", r.first+n) }

func (r *recorder) now() int64 { return time.Since(r.begin).Nanoseconds() }

// token is the number of a new write: even for a POST, odd for a PUT.
func (r *recorder) token(post bool) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tokens += 2
	if post {
		return r.tokens
	}
	return r.tokens + 1
}

// add writes an operation down and remembers what later ones are made of.
func (r *recorder) add(o operation, rev string) {
	line, err := json.Marshal(o)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		_, err = r.out.Write(append(line, '\n'))
	}
	if err != nil && r.failed == nil {
		r.failed = fmt.Errorf("cannot write the history: %w", err)
	}
	if v, ok := o.Found[o.ID]; ok && rev != "" && v.Token%2 == 1 {
		r.known[o.ID] = revision{rev, v}
	}
	if o.Kind == opCreate && o.Outcome == outcomeUnknown {
		r.posts[o.ID] = o.Value
	}
}

// A client sends one request after the other.
type client struct {
	r    *recorder
	id   int
	base string
	rng  *rand.Rand
	// rival says that the client is one of those that work on two objects, and always through another replica.
	rival bool
	wrote string // id of what a rival has just written; it is read next
}

func newClient(r *recorder, id int, base string) *client {
	return &client{r: r, id: id, base: base, rng: rand.New(rand.NewPCG(uint64(r.seed), uint64(id)))} // #nosec G115 G404 -- a test that is repeated by its seed
}

func (c *client) run(ctx context.Context) {
	for ctx.Err() == nil {
		o := c.next()
		done := c.do(o)
		// Somewhere else after a failure, and now and then for no reason.
		if done.Outcome == outcomeUnknown || done.Outcome == outcomeNothing || c.rival || c.rng.IntN(8) == 0 {
			c.base = c.r.replicas[c.rng.IntN(len(c.r.replicas))]
		}
		if c.rival && o.writes() && done.Outcome == outcomeAnswered && done.Status < http.StatusBadRequest {
			c.wrote = o.ID
		}
		wait := time.NewTimer(time.Duration(c.rng.ExpFloat64() * float64(c.r.pause)))
		select {
		case <-ctx.Done():
		case <-wait.C:
		}
		wait.Stop()
	}
}

// contend is what a rival does next. Mostly it replaces what others replace at the same time, bound to the
// revision that all of them know. What was acknowledged it reads at once, through another replica.
func (c *client) contend() operation {
	group := c.r.group(c.r.groups - 1)
	ids := []string{networkOf(group), portA(group)}
	o := operation{Client: c.id, Group: group, ID: ids[c.rng.IntN(len(ids))]}
	if c.wrote != "" {
		o.Kind, o.ID, c.wrote = opRead, c.wrote, ""
		return o
	}
	switch n := c.rng.IntN(20); {
	case n < 13:
		o.Kind = opReplace
		o.Value = c.value(o, false)
	case n < 15:
		o.Kind = opRead
	case n < 18:
		o.Kind = opCreate
		o.Value = c.value(o, true)
	default: // of the network, too: a port may just be made in it
		o.Kind = opDelete
	}
	return o
}

// next is what to do next: half of it is reading.
func (c *client) next() operation {
	if c.rival {
		return c.contend()
	}
	groups := c.r.groups
	if c.r.rivals > 0 {
		groups--
	}
	group := c.r.group(c.rng.IntN(groups))
	ids := []string{networkOf(group), portA(group), portB(group), portA(group), portB(group), tapOf(group), tapOf(group)}
	o := operation{Client: c.id, Group: group, ID: ids[c.rng.IntN(len(ids))]}
	switch n := c.rng.IntN(20); {
	case n < 7:
		o.Kind = opRead
	case n < 10:
		o.Kind = opList
		o.ID = []string{networkOf(group), portA(group), portB(group)}[c.rng.IntN(3)]
	case n < 14:
		o.Kind = opCreate
		o.Value = c.value(o, true)
		c.r.mu.Lock()
		if v, ok := c.r.posts[o.ID]; ok && c.rng.IntN(2) == 0 {
			o.Value = v
		}
		c.r.mu.Unlock()
	case n < 18:
		o.Kind = opReplace
		o.Value = c.value(o, false)
	default:
		o.Kind = opDelete
	}
	return o
}

// value is a new one for the object.
func (c *client) value(o operation, post bool) value {
	v := value{Token: c.r.token(post)}
	switch collectionOf(o.ID) {
	case "ports":
		v.Tie = []string{"02:cc:00:00:00:01", "02:cc:00:00:00:02"}[c.rng.IntN(2)]
	case "taps":
		v.Tie = []string{portA(o.Group), portB(o.Group)}[c.rng.IntN(2)]
	}
	return v
}

// attempts bounds readAll: a replica that serves needs one.
const attempts = 100

// readAll reads every object and list once; an answer that says nothing is asked for again.
func (c *client) readAll() error {
	for n := range c.r.groups {
		g := c.r.group(n)
		ops := []operation{{Kind: opList, ID: g}, {Kind: opList, ID: portA(g)}, {Kind: opList, ID: portB(g)}}
		for _, id := range []string{networkOf(g), portA(g), portB(g), tapOf(g)} {
			ops = append(ops, operation{Kind: opRead, ID: id})
		}
		for _, o := range ops {
			o.Client, o.Group = c.id, g
			for i := 0; c.do(o).Outcome != outcomeAnswered; i++ {
				if i == attempts {
					return fmt.Errorf("%s does not answer %s %s", c.base, o.Kind, o.ID)
				}
				time.Sleep(c.r.pause)
			}
		}
	}
	return nil
}
