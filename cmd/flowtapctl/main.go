// Command flowtapctl is the operator's client of FlowTap's REST interface. Its exit code is 0 when
// the server did what was asked, 1 when it refused or could not be reached, 2 for a wrong command line.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/flowtap/flowtap/cmd/rest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], world{
		in: os.Stdin, out: os.Stdout, err: os.Stderr,
		env: rest.Variables(os.Getenv),
	})
	stop()
	os.Exit(code)
}
