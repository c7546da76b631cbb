package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// report prints an error with what to do about it, and gives the exit code.
func (a *app) report(err error) int {
	var (
		usage *usageError
		p     *problem
		gone  *unreachable
	)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		fmt.Fprintf(a.err, "flowtapctl: %v\nTry: flowtapctl --help\n", err)
		return exitUsage
	case errors.Is(err, errReported):
		return exitRefused
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(a.err, "flowtapctl: interrupted")
		return exitRefused
	}
	if errors.As(err, &p) && len(p.Diagnostics) > 0 { // the first of them is what err says
		for _, d := range p.Diagnostics {
			fmt.Fprint(a.err, d.Text)
		}
		fmt.Fprintln(a.err, "flowtapctl: the policy is wrong; nothing was changed")
		return exitRefused
	}
	fmt.Fprintf(a.err, "flowtapctl: %v\n", err)
	switch {
	case errors.As(err, &p):
		for _, line := range advice(p) {
			fmt.Fprintf(a.err, "  %s\n", line)
		}
	case errors.As(err, &gone):
		fmt.Fprintf(a.err, "  Is flowtapd running? Name another with --server URL or FLOWTAP_SERVER.\n")
	}
	return exitRefused
}

// advice is what the problem document says besides its detail, and what to do.
func advice(p *problem) (lines []string) {
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	if p.ConflictsWith != "" {
		add("conflicts with: %s", p.ConflictsWith)
	}
	if p.Witness != "" {
		add("a frame that both match: %s", p.Witness)
	}
	if len(p.Users) > 0 {
		add("used by: %s", strings.Join(p.Users, ", "))
	}
	switch {
	case p.Status == http.StatusUnprocessableEntity, p.Status == http.StatusBadRequest:
		if p.Field != "" {
			add("Correct %s and try again; nothing was changed.", p.Field)
		}
	case p.Status == http.StatusNotFound:
		add("`flowtapctl get` lists what there is.")
	case p.Status == http.StatusPreconditionFailed:
		add("Somebody changed it meanwhile: get it again, then change it.")
	case p.Status == http.StatusConflict && len(p.Users) == 0 && p.Field == "" && p.Witness == "":
		add("To change it, use `flowtapctl apply -f FILE`.")
	case p.Status == http.StatusUnauthorized:
		add("Log in with FLOWTAP_TOKEN or --token-file FILE.")
	case p.Status == http.StatusServiceUnavailable:
		add("Try again in a moment.")
	}
	return lines
}
