// Command ftc is the FlowTap compiler. It checks policies, evaluates them on facts, shows which taps
// they want, and has a controller carry them out. Its exit code is 0 when all is well, 1 when a policy is wrong, 2 for a
// wrong command line or a file that cannot be used, 3 when a controller could not be reached or refused.
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
	code := run(ctx, os.Args[1:], world{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: rest.Variables(os.Getenv)})
	stop()
	os.Exit(code)
}
