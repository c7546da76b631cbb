package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"
)

// errReported says that the errors were printed already.
var errReported = errors.New("some objects were refused")

func (a *app) applyCommand() *cobra.Command {
	var file string
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Make or change the objects of a file until they are as it says",
		Long: "Make or change the objects of a file, YAML or JSON, in the order in which they depend on each other.\n" +
			"Each object has a kind (node, network, port or one of vm, gateway, monitor, pool, policy, tap) and an id.\n" +
			"What the file leaves out has its default. Objects that the file does not name stay.",
		Example: "  flowtapctl apply -f cloud.yaml\n  flowtapctl get taps -o yaml | flowtapctl apply -f -",
		Args:    needArgs(0, 0, "no arguments, only -f FILE"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			objs, err := a.readFile(file)
			if err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.each(cmd.Context(), objs, func(w wanted) error {
				o, what, err := applyOne(cmd.Context(), c, w, wait)
				if err != nil {
					return err
				}
				return a.say(w.col, o, what)
			})
		},
	}
	addFile(cmd, &file)
	addWait(cmd, &wait)
	return cmd
}

func addFile(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVarP(file, "filename", "f", "", `a YAML or JSON file, "-" for standard input`)
	_ = cmd.MarkFlagFilename("filename", "yaml", "yml", "json") // fails for unknown flags only
}

func (a *app) readFile(name string) ([]wanted, error) {
	if name == "" {
		return nil, usagef("name a file with -f FILE")
	}
	var b []byte
	var err error
	if name == "-" {
		b, err = io.ReadAll(a.in)
	} else {
		b, err = os.ReadFile(name) // #nosec G304 -- the file that the command line names
	}
	if err != nil {
		return nil, &usageError{Err: err}
	}
	objs, err := readManifest(b)
	if err != nil {
		return nil, usagef("%s: %w", name, err)
	}
	if len(objs) == 0 {
		return nil, usagef("%s has no objects", name)
	}
	return objs, nil
}

// each does something for every object, reports what failed and goes on with the others, unless
// the server cannot be reached at all.
func (a *app) each(ctx context.Context, objs []wanted, f func(wanted) error) error {
	failed := false
	for _, w := range objs {
		err := f(w)
		var p *problem
		switch {
		case err == nil:
		case ctx.Err() != nil || !errors.As(err, &p):
			return fmt.Errorf("%s: %w", w, err)
		default:
			failed = true
			a.report(fmt.Errorf("%s: %w", w, err))
		}
	}
	if failed {
		return errReported
	}
	return nil
}

// applyOne makes or replaces one object, and says which: "created", "changed" or "".
func applyOne(ctx context.Context, c *client, w wanted, wait time.Duration) (o object, what string, err error) {
	q := w.project()
	was, err := c.get(ctx, w.col, w.id, q)
	var p *problem
	if errors.As(err, &p) && p.Status == http.StatusNotFound {
		status, err := c.Do(ctx, request{Method: http.MethodPost, Path: w.col.path(""), Query: q, Body: w.body, Wait: wait}, &o)
		if status == http.StatusCreated {
			what = "created"
		}
		return o, what, err
	}
	if err != nil {
		return nil, "", err
	}
	_, err = c.Do(ctx, request{Method: http.MethodPut, Path: w.col.path(w.id), Query: q, Body: w.body, Wait: wait}, &o)
	if err == nil && o.revision() != was.revision() {
		what = "changed"
	}
	return o, what, err
}
