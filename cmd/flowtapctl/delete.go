package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/spf13/cobra"
)

func (a *app) deleteCommand() *cobra.Command {
	var file, revision string
	var dry, lenient bool
	var wait time.Duration
	cmd := &cobra.Command{
		Use:               "delete COLLECTION ID... | -f FILE",
		Short:             "Delete objects",
		Example:           "  flowtapctl delete tap t1 --wait 10s\n  flowtapctl delete -f cloud.yaml",
		ValidArgsFunction: a.completeObjects,
		Args:              needArgs(0, -1, ""),
		RunE: func(cmd *cobra.Command, args []string) error {
			objs, err := a.toDelete(file, args)
			if err != nil {
				return err
			}
			if revision != "" && len(objs) > 1 {
				return usagef("--revision is for one object")
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			r := request{Method: http.MethodDelete, Revision: revision, Wait: wait}
			return a.each(cmd.Context(), objs, func(w wanted) error {
				r := r
				r.Path, r.Query = w.col.path(w.id), w.project()
				if dry {
					r.Query.Set("dry_run", "true")
				}
				return a.deleteOne(cmd.Context(), c, w, r, lenient)
			})
		},
	}
	addFile(cmd, &file)
	cmd.Flags().StringVar(&revision, "revision", "", "delete only if the object is still at this revision")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "show what would change on each switch and change nothing")
	cmd.Flags().BoolVar(&lenient, "ignore-not-found", false, "what is not there need not be deleted")
	addWait(cmd, &wait)
	return cmd
}

// toDelete gives the objects of a file, users before what they use, or those of the arguments.
func (a *app) toDelete(file string, args []string) ([]wanted, error) {
	if file != "" {
		if len(args) > 0 {
			return nil, usagef("give either COLLECTION ID... or -f FILE")
		}
		objs, err := a.readFile(file)
		slices.Reverse(objs)
		return objs, err
	}
	if len(args) < 2 {
		return nil, usagef("delete needs COLLECTION ID..., or -f FILE")
	}
	col, err := findCollection(args[0])
	if err != nil {
		return nil, err
	}
	var objs []wanted
	for _, id := range args[1:] {
		if id == "" {
			return nil, usagef("an id is empty")
		}
		objs = append(objs, wanted{col: col, id: id})
	}
	return objs, nil
}

func (a *app) deleteOne(ctx context.Context, c *client, w wanted, r request, lenient bool) error {
	var plan object
	_, err := c.Do(ctx, r, &plan)
	var p *problem
	switch {
	case lenient && errors.As(err, &p) && p.Status == http.StatusNotFound:
		_, err = fmt.Fprintf(a.out, "%s not there\n", w)
		return err
	case err != nil:
		return err
	case plan != nil:
		return a.printPlan(plan)
	}
	_, err = fmt.Fprintf(a.out, "%s deleted\n", w)
	return err
}
