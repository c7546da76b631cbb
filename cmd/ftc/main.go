// Command ftc is the FlowTap compiler. It checks policies, evaluates them on facts, and shows which taps
// they want. Its exit code is 0 when all is well, 1 when a policy is wrong, 2 for a wrong command line
// or a file that cannot be used.
package main

import (
	"os"
)

func main() {
	os.Exit(run(os.Args[1:], world{in: os.Stdin, out: os.Stdout, err: os.Stderr}))
}
