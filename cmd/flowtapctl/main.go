// Command flowtapctl is the operator's client of FlowTap's REST interface. Its exit code is 0 when
// the server did what was asked, 1 when it refused or could not be reached, 2 for a wrong command line.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], world{
		in: os.Stdin, out: os.Stdout, err: os.Stderr,
		server: os.Getenv("FLOWTAP_SERVER"), token: os.Getenv("FLOWTAP_TOKEN"),
		ca: os.Getenv("FLOWTAP_CA"), cert: os.Getenv("FLOWTAP_CERT"), key: os.Getenv("FLOWTAP_KEY"),
	})
	stop()
	os.Exit(code)
}
