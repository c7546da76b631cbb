package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/flowtap/flowtap/cmd/rest"
)

func (a *app) createCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create COLLECTION [ID] [flags]",
		Short: "Make an object",
		Example: "  flowtapctl create network shop\n" +
			"  flowtapctl create port ids1 --kind monitor\n" +
			"  flowtapctl create tap t1 --src web --dst ids1 --match 'tcp,tp_dst=80' --direction in --action forward",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("create needs a collection")
			}
			_, err := findCollection(args[0])
			return err
		},
		RunE: func(*cobra.Command, []string) error { return usagef("create needs a collection") },
	}
	for _, col := range collections {
		if col.readOnly {
			continue
		}
		cmd.AddCommand(a.createOne(col))
	}
	return cmd
}

func (a *app) createOne(col *collection) *cobra.Command {
	var dry bool
	var wait time.Duration
	cmd := &cobra.Command{
		Use:               col.singular + " [ID]",
		Short:             "Make a " + col.singular,
		Args:              needArgs(0, 1, "at most one ID"),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Aliases = append(cmd.Aliases, col.name)
	if col.short != "" {
		cmd.Aliases = append(cmd.Aliases, col.short)
	}
	for _, f := range col.flags {
		f.add(cmd)
		switch {
		case f.of != "":
			_ = cmd.RegisterFlagCompletionFunc(f.name, a.completeIDs(f.of)) // fails for unknown flags only
		case f.values != nil:
			_ = cmd.RegisterFlagCompletionFunc(f.name, cobra.FixedCompletions(f.values, cobra.ShellCompDirectiveNoFileComp))
		}
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "show what would change on each switch and change nothing")
	addWait(cmd, &wait)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		body := object{}
		if len(args) == 1 {
			body["id"] = args[0]
		}
		for _, f := range col.flags {
			if cmd.Flags().Changed(f.name) {
				v, err := f.value(cmd.Flags())
				if err != nil {
					return &usageError{Err: err}
				}
				body.set(f.field, v)
			}
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		r := request{Method: http.MethodPost, Path: col.path(""), Body: body, Wait: wait}
		if dry {
			r.Query = url.Values{"dry_run": {"true"}}
		}
		var o object
		status, err := c.Do(cmd.Context(), r, &o)
		switch {
		case err != nil:
			return err
		case dry:
			return a.printPlan(o)
		case a.output != "table":
			return a.print(col, []object{o}, true)
		}
		return a.say(col, o, map[int]string{http.StatusCreated: "created"}[status])
	}
	return cmd
}

// say prints one line about what happened to an object; nothing is unchanged.
func (a *app) say(col *collection, o object, what string) error {
	if what == "" {
		what = "unchanged"
	}
	state := ""
	if s := o.text("status.state"); s != "" {
		state = ", " + s
		if reason := o.text("status.reason"); reason != "" {
			state += ": " + reason
		}
	}
	_, err := fmt.Fprintf(a.out, "%s/%s %s%s\n", col.singular, o.id(), what, state)
	if secret := o.text("secret"); err == nil && secret != "" {
		_, err = fmt.Fprintln(a.out, secret)
	}
	return err
}

func addWait(cmd *cobra.Command, wait *time.Duration) {
	cmd.Flags().DurationVar(wait, "wait", 0, "wait at most so long until the change is on every switch concerned")
}

func (f flag) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	switch f.kind {
	case flagText:
		fs.String(f.name, "", f.usage)
	case flagList:
		fs.StringSlice(f.name, nil, f.usage)
	case flagMap:
		fs.StringToString(f.name, nil, f.usage)
	case flagInt:
		fs.Int(f.name, 0, f.usage)
	case flagBool:
		fs.Bool(f.name, false, f.usage)
	case flagInts:
		fs.StringToInt(f.name, nil, f.usage)
	case flagSeconds:
		fs.Duration(f.name, 0, f.usage)
	case flagMembers:
		fs.StringSlice(f.name, nil, f.usage)
	case flagFile:
		fs.String(f.name, "", f.usage)
	}
}

func (f flag) value(fs *pflag.FlagSet) (any, error) {
	switch f.kind {
	case flagList:
		return fs.GetStringSlice(f.name)
	case flagMap:
		return fs.GetStringToString(f.name)
	case flagInt:
		return fs.GetInt(f.name)
	case flagBool:
		return fs.GetBool(f.name)
	case flagInts:
		return fs.GetStringToInt(f.name)
	case flagSeconds:
		d, err := fs.GetDuration(f.name)
		return int64(d.Seconds()), err
	case flagMembers:
		texts, err := fs.GetStringSlice(f.name)
		if err != nil {
			return nil, err
		}
		return membersOf(texts)
	case flagFile:
		path, err := fs.GetString(f.name)
		if err != nil {
			return nil, err
		}
		b, err := os.ReadFile(path) // #nosec G304 -- the file that the command line names
		return string(b), err
	}
	return fs.GetString(f.name)
}

// membersOf reads the members of a pool from ids1 or ids1=2, which is the port and its weight.
func membersOf(texts []string) ([]object, error) {
	list := []object{}
	for _, text := range texts {
		port, weight, weighted := strings.Cut(text, "=")
		m := object{"port": port}
		if weighted {
			n, err := strconv.Atoi(weight)
			if err != nil {
				return nil, fmt.Errorf("the weight of member %q must be a whole number", text)
			}
			m["weight"] = n
		}
		list = append(list, m)
	}
	return list, nil
}

// printPlan shows the answer to a dry run, in a table as one line a flow.
func (a *app) printPlan(o object) error {
	if a.output != "table" {
		return a.printValue(o)
	}
	var plan rest.Plan
	b, err := json.Marshal(o)
	if err == nil {
		err = json.Unmarshal(b, &plan)
	}
	if err != nil {
		return fmt.Errorf("the answer to the dry run: %w", err)
	}
	return plan.Print(a.out)
}
