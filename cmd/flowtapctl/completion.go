package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// completionTimeout bounds how long a press of the tab key may take.
const completionTimeout = 2 * time.Second

// completeObjects completes COLLECTION ID... . Ids come from the server; without one there are none.
func (a *app) completeObjects(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return collectionNames(), cobra.ShellCompDirectiveNoFileComp
	}
	col, err := findCollection(args[0])
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.ids(cmd.Context(), col, args[1:], prefix)
}

// completeIDs completes the id of an object of a collection.
func (a *app) completeIDs(collection string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
		col, err := findCollection(collection)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return a.ids(cmd.Context(), col, nil, prefix)
	}
}

func (a *app) ids(ctx context.Context, col *collection, not []string, prefix string) ([]string, cobra.ShellCompDirective) {
	c, err := a.client()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	objs, err := c.list(ctx, col, nil)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	given := map[string]bool{}
	for _, id := range not {
		given[id] = true
	}
	var ids []string
	for _, o := range objs {
		if strings.HasPrefix(o.id(), prefix) && !given[o.id()] {
			ids = append(ids, o.id())
		}
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}
