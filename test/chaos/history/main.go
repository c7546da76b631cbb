package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/anishathalye/porcupine"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "history: %v\n", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage: history record [flags] URL... | history check [--picture FILE] FILE")

func run(args []string) error {
	if len(args) == 0 {
		return errUsage
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	switch args[0] {
	case "record":
		var r recorder
		flags.Int64Var(&r.seed, "seed", 1, "of what the clients do")
		flags.IntVar(&r.clients, "clients", 4, "how many at once")
		flags.IntVar(&r.rivals, "rivals", 3, "how many more, which have the last group for themselves")
		flags.IntVar(&r.groups, "groups", 5, "of objects; groups g0, g1, ...")
		flags.IntVar(&r.first, "first", 0, "number of the first group")
		flags.StringVar(&r.monitor, "monitor", "", "`ID` of the port that all taps lead to")
		flags.DurationVar(&r.pause, "pause", defaultPause, "between two requests of a client, on average")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		r.replicas, r.out = flags.Args(), os.Stdout
		if len(r.replicas) == 0 || r.monitor == "" {
			return errUsage
		}
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			defer cancel()
			_, _ = io.Copy(io.Discard, os.Stdin) // however it ends, that is the end
		}()
		return r.run(ctx)
	case "check":
		picture := flags.String("picture", "", "`FILE` for a page that shows the history, if it is bad")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		if flags.NArg() != 1 {
			return errUsage
		}
		return checkFile(flags.Arg(0), *picture)
	}
	return errUsage
}

func checkFile(path, picture string) error {
	f, err := os.Open(path) // #nosec G304 G703 -- the file that the command line names
	if err != nil {
		return err
	}
	defer f.Close()
	all, err := readHistory(f)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	v := check(all)
	v.report(os.Stdout)
	if v.ok() {
		return nil
	}
	if picture != "" {
		if err := porcupine.VisualizePath(groups, v.info, picture); err != nil {
			return err
		}
	}
	return errors.New("the history is not explained")
}
