package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flowtap/flowtap/tlsfiles"
)

// Exit codes.
const (
	exitOK      = 0
	exitRefused = 1
	exitUsage   = 2
)

const defaultServer = "http://127.0.0.1:8080"

// world is what the program knows of its surroundings.
type world struct {
	in       io.Reader
	out, err io.Writer
	server   string // from the environment; empty: the default
	token    string // from the environment; empty: look into the default file
	// files of certificates, from the environment
	ca, cert, key string
}

// app is what the commands share: the flags of all and what is made of them.
type app struct {
	world
	flagServer string
	flagToken  string
	tokenFile  string
	project    string
	files      tlsfiles.Files
	output     string // table, json or yaml
	timeout    time.Duration
}

// usageError is a wrong command line.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// run executes one command line and gives its exit code.
func run(ctx context.Context, args []string, w world) int {
	a := &app{world: w, files: tlsfiles.Files{Option: "-"}}
	cmd := a.root()
	cmd.SetArgs(args)
	cmd.SetIn(w.in)
	cmd.SetOut(w.out)
	cmd.SetErr(w.err)
	err := cmd.ExecuteContext(ctx)
	return a.report(err)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "flowtapctl",
		Short: "Look at and change the objects of a FlowTap controller",
		Long: "Look at and change the objects of a FlowTap controller.\n\n" +
			"Collections: " + strings.Join(collectionNames(), ", ") + "; the singular does as well.",
		Example: "  flowtapctl get taps\n" +
			"  flowtapctl create tap t1 --src web --dst ids1 --match 'tcp,tp_dst=80' --action forward\n" +
			"  flowtapctl wait tap t1 --for active --timeout 10s\n" +
			"  flowtapctl apply -f cloud.yaml\n" +
			"  flowtapctl trace web tcp,nw_dst=10.0.0.2,tp_dst=80",
		SilenceErrors: true, SilenceUsage: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("there is no command %q", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(*cobra.Command, []string) error {
			switch a.output {
			case "table", "json", "yaml":
				return nil
			}
			return usagef("--output must be table, json or yaml, not %q", a.output)
		},
	}
	server := a.world.server
	if server == "" {
		server = defaultServer
	}
	f := root.PersistentFlags()
	f.StringVar(&a.flagServer, "server", server, "URL of the controller; the environment's FLOWTAP_SERVER is the default")
	f.StringVar(&a.files.CA, "ca", a.world.ca, "`FILE` of the authorities that an https server's certificate must come from; default FLOWTAP_CA, or the system's")
	f.StringVar(&a.files.Cert, "cert", a.world.cert, "`FILE` of a client certificate; default FLOWTAP_CERT")
	f.StringVar(&a.files.Key, "key", a.world.key, "`FILE` of its key; default FLOWTAP_KEY")
	f.StringVar(&a.flagToken, "token", "", "secret to log in with; better FLOWTAP_TOKEN, which other users of the machine do not see")
	f.StringVar(&a.tokenFile, "token-file", "", "`FILE` with the secret; default "+defaultTokenFile+", for a server on this machine")
	f.StringVarP(&a.project, "project", "p", "", "the project that is meant, by default one's own; a provider may read those of '*'")
	f.StringVarP(&a.output, "output", "o", "table", "table, json or yaml")
	f.DurationVar(&a.timeout, "request-timeout", 30*time.Second, "how long one request may take, apart from --wait")
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json", "yaml"}, cobra.ShellCompDirectiveNoFileComp)) // fails for unknown flags only
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.AddCommand(a.getCommand(), a.createCommand(), a.applyCommand(), a.deleteCommand(), a.waitCommand(), a.watchCommand(), a.traceCommand(), a.pkiCommand(), a.agentCommand())
	return root
}

// client is made when a command runs: the flags are read then.
func (a *app) client() (*client, error) {
	u, err := url.Parse(a.flagServer)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, usagef("--server must be a URL such as %s, not %q", defaultServer, a.flagServer)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if a.files.Given() {
		if u.Scheme != "https" {
			return nil, usagef("certificates are for an https server: --server is %s", a.flagServer)
		}
		source, err := tlsfiles.Load(a.files, slog.New(slog.DiscardHandler))
		if err != nil {
			return nil, &usageError{err}
		}
		transport.TLSClientConfig = source.Client()
	}
	secret, err := a.secret(u)
	if err != nil {
		return nil, err
	}
	return &client{base: strings.TrimSuffix(a.flagServer, "/"), secret: secret, project: a.project, timeout: a.timeout, http: &http.Client{Transport: transport}}, nil
}
