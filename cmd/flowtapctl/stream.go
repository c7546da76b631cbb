package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/flowtap/flowtap/cmd/rest"
)

// event is one event of a watch. Its type is ADDED, MODIFIED, DELETED or SYNCED.
type event struct {
	Type   string `json:"type"`
	Object object `json:"object"`
}

// maxEvent bounds one event, in bytes.
const maxEvent = 4 << 20

// errStreamEnded says that the server ended a watch, as it does when it stops.
var errStreamEnded = errors.New("the server ended the stream")

// errEnough ends a watch from within.
var errEnough = errors.New("enough")

// watch calls f for every event until f fails, ctx ends or the server ends it. An f that gives
// errEnough makes it end without an error.
func (c *client) watch(ctx context.Context, col *collection, filter url.Values, f func(event) error) error {
	q := url.Values{"watch": {"true"}}
	for k, v := range filter {
		q[k] = v
	}
	resp, err := c.Send(ctx, request{Method: http.MethodGet, Path: col.path(""), Query: q})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			return fmt.Errorf("read the answer of %s: %w", c.Base, err)
		}
		return rest.ProblemOf(resp, b)
	}
	in := bufio.NewScanner(resp.Body)
	in.Buffer(nil, maxEvent)
	for in.Scan() {
		data, ok := strings.CutPrefix(in.Text(), "data: ")
		if !ok {
			continue // event names, ids, heartbeats and blank lines
		}
		var e event
		dec := json.NewDecoder(strings.NewReader(data))
		dec.UseNumber()
		if err := dec.Decode(&e); err != nil {
			return fmt.Errorf("an event of %s cannot be read: %w", c.Base, err)
		}
		switch err := f(e); {
		case errors.Is(err, errEnough):
			return nil
		case err != nil:
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errStreamEnded
}
