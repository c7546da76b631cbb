package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

// nodeReport is the body of PUT /v1/nodes/{id}/load.
type nodeReport struct {
	CPU    float64 `json:"cpu"`
	Memory float64 `json:"memory"`
	Link   float64 `json:"link,omitempty"`
}

func (a *app) agentCommand() *cobra.Command {
	var node, proc string
	var interval time.Duration
	var link, cpus float64
	var namespace int
	cmd := &cobra.Command{
		Use:   "node-agent --node NODE",
		Short: "Report how busy this node is, again and again",
		Long: "Report how busy this node is, again and again: the part of its CPUs and of its memory that is in use, from\n" +
			"/proc/stat and /proc/meminfo.\n\n" +
			"Nodes of a lab may be network namespaces of one machine. With --namespace-of CPU is what the processes of that\n" +
			"process's network namespace ran, or waited for a processor, as a part of --cpus processors.",
		Example: "  flowtapctl node-agent --node n1 --interval 1s --server https://flowtap:8080",
		Args:    needArgs(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case node == "":
				return usagef("which node is this? give --node")
			case interval < 100*time.Millisecond:
				return usagef("--interval must be 100ms at least, not %v", interval)
			case cpus < 0 || link < 0 || namespace < 0:
				return usagef("--cpus, --link and --namespace-of cannot be negative")
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			m := &meter{proc: proc, namespace: namespace, cpus: cpus}
			return a.keepReporting(cmd.Context(), c, node, link, m, interval)
		},
	}
	f := cmd.Flags()
	f.StringVar(&node, "node", "", "id of the node")
	f.DurationVar(&interval, "interval", time.Second, "time between two reports")
	f.Float64Var(&link, "link", 0, "bytes/s that the node's uplink carries each way; 0 is unknown")
	f.IntVar(&namespace, "namespace-of", 0, "count the processes in the network namespace of this `PID` only")
	f.Float64Var(&cpus, "cpus", 0, "with --namespace-of, processors that the node has; 0 is all of the machine's")
	f.StringVar(&proc, "proc", "/proc", "where the proc file system is")
	return cmd
}

// keepReporting measures and reports until ctx ends. What the server does not take now is said once, and tried again.
func (a *app) keepReporting(ctx context.Context, c *client, node string, link float64, m *meter, every time.Duration) error {
	if _, err := m.read(time.Now()); err != nil {
		return err
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	said := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		r, err := m.read(time.Now())
		if err != nil {
			return err
		}
		r.Link = link
		status, err := c.Do(ctx, request{Method: http.MethodPut, Path: "/v1/nodes/" + url.PathEscape(node) + "/load", Body: r}, nil)
		if ctx.Err() != nil {
			return nil
		}
		if status == http.StatusForbidden || status == http.StatusUnauthorized {
			return err // time does not cure that
		}
		now := ""
		if err != nil {
			now = err.Error()
		}
		if now != said {
			if said = now; said != "" {
				fmt.Fprintln(a.err, "flowtapctl: not reported:", said)
			} else {
				fmt.Fprintln(a.err, "flowtapctl: reported again")
			}
		}
	}
}
