package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flowtap/flowtap/cmd/rest"
)

// errController says that a controller did not do what was asked of it, for another reason than the policy.
type errController struct{ err error }

func (e *errController) Error() string { return e.err.Error() }
func (e *errController) Unwrap() error { return e.err }

// remote is a policy that a command brings to a controller.
type remote struct {
	in    inputs
	id    string
	flags rest.Flags
}

func (r *remote) add(cmd *cobra.Command, env rest.Environment) {
	r.in.policyFlag(cmd)
	cmd.Flags().StringVar(&r.id, "id", "", "the policy's id (default the name of the first file)")
	r.flags.Add(cmd.Flags(), env)
}

// prepare reads and checks the policy, and finds out what the controller has under its id; nil: nothing.
func (r *remote) prepare(ctx context.Context, w world) (c *rest.Client, body map[string]any, have *stored, err error) {
	l, err := w.load(r.in, "")
	if err != nil {
		return nil, nil, nil, err
	}
	var texts []string
	for _, f := range l.files {
		texts = append(texts, f.Text)
	}
	if r.id == "" {
		r.id = policyID(r.in)
	}
	if c, err = r.flags.Client(); err != nil {
		return nil, nil, nil, err
	}
	have = &stored{}
	status, err := c.Do(ctx, rest.Request{Method: http.MethodGet, Path: r.path()}, have)
	if status == http.StatusNotFound {
		have, err = nil, nil
	}
	return c, map[string]any{"id": r.id, "source": strings.Join(texts, "\n")}, have, w.refused(err)
}

func (r *remote) path() string { return "/v1/policies/" + url.PathEscape(r.id) }

// stored is a policy as the controller has it.
type stored struct {
	Revision string `json:"revision"`
	Status   struct {
		State       string            `json:"state"`
		Taps        int               `json:"taps"`
		Revision    string            `json:"revision"`
		Diagnostics []rest.Diagnostic `json:"diagnostics"`
	} `json:"status"`
}

// refused says what an error of the controller's is.
func (w world) refused(err error) error {
	var p *rest.Problem
	var usage *rest.UsageError
	switch {
	case err == nil, errors.As(err, &usage):
		return err
	case errors.As(err, &p) && len(p.Diagnostics) > 0:
		return w.wrong(p.Diagnostics)
	}
	return &errController{err}
}

// wrong prints what there is to say of a policy; nil: no error is among it.
func (w world) wrong(ds []rest.Diagnostic) (err error) {
	for _, d := range ds {
		fmt.Fprint(w.err, d.Text)
		if d.Severity == "error" {
			err = errPolicy
		}
	}
	return err
}

// write sends the policy, as a new one or in place of the one that there is.
func (r *remote) write(ctx context.Context, c *rest.Client, body map[string]any, have *stored, query url.Values, wait time.Duration, out any) error {
	req := rest.Request{Method: http.MethodPost, Path: "/v1/policies", Body: body, Query: query, Wait: wait}
	if have != nil {
		req.Method, req.Path, req.Revision = http.MethodPut, r.path(), have.Revision
	}
	_, err := c.Do(ctx, req, out)
	return err
}

func (w world) diffCommand() *cobra.Command {
	var r remote
	cmd := &cobra.Command{
		Use: "diff --policy FILE", Short: "Say what a policy would change: taps, and flows on each switch",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, body, have, err := r.prepare(cmd.Context(), w)
			if err != nil {
				return err
			}
			var plan rest.Plan
			if err := r.write(cmd.Context(), c, body, have, url.Values{"dry_run": {"true"}}, 0, &plan); err != nil {
				return w.refused(err)
			}
			if err := w.wrong(plan.Diagnostics); err != nil {
				return err
			}
			plan.Diagnostics = nil
			return plan.Print(w.out)
		},
	}
	r.add(cmd, w.env)
	return cmd
}

func (w world) applyCommand() *cobra.Command {
	var r remote
	var wait time.Duration
	cmd := &cobra.Command{
		Use: "apply --policy FILE", Short: "Have a controller carry a policy out",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, body, have, err := r.prepare(cmd.Context(), w)
			if err != nil {
				return err
			}
			var now stored
			if err := r.write(cmd.Context(), c, body, have, nil, wait, &now); err != nil {
				return w.refused(err)
			}
			if now.Status.Revision != now.Revision {
				return &errController{fmt.Errorf("policy %s is stored, and was not carried out within %v", r.id, wait)}
			}
			if err := w.wrong(now.Status.Diagnostics); err != nil {
				fmt.Fprintf(w.err, "policy %s is stored and cannot be carried out as things are: the %d taps that it had go on\n", r.id, now.Status.Taps)
				return err
			}
			fmt.Fprintf(w.out, "policy/%s %s, %d taps\n", r.id, now.Status.State, now.Status.Taps)
			return nil
		},
	}
	r.add(cmd, w.env)
	cmd.Flags().DurationVar(&wait, "wait", 15*time.Second, "how long its taps may take until they are on every switch concerned")
	return cmd
}
