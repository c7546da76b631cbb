#!/usr/bin/python3
"""Runs the scenarios: REST in, packets out, on real Open vSwitch.

    sudo /usr/bin/python3 test/mininet/run.py [--tunnel vxlan] [--flowtapd PATH] [scenario ...]

Prints a line a check and ends with one line `N passed, N failed`. Exit code 0 when none failed,
1 when some did, 2 when it could not start.
"""

import argparse
import contextlib
import importlib
import os
import shutil
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True  # under sudo it would leave root's files in the checkout

import pool  # noqa: E402
from scenarios import IN_EVERY_LAYOUT, LONG, NAMES, OVER_EVERY_TUNNEL, WHEN_NAMED  # noqa: E402

TUNNELS = ("geneve", "vxlan", "gre")
LAYOUTS = ("one-bridge", "two-bridge")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", metavar="scenario", help="a scenario, or one story of it as scenario.story; default: all")
    parser.add_argument("--list", action="store_true", help="list the scenarios")
    parser.add_argument("--tunnel", choices=TUNNELS, default="geneve")
    parser.add_argument("--layout", choices=LAYOUTS, default="one-bridge", help="of every node")
    parser.add_argument("--flowtapd", help="default: bin/flowtapd")
    parser.add_argument("--flowtapctl", help="default: bin/flowtapctl")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="run the scenarios N times in the same lab")
    parser.add_argument("--changes", type=int, default=20, metavar="N", help="random changes of the scenario escape (20)")
    parser.add_argument("--chaos-seconds", type=int, default=15, metavar="N", help="how long the scenario chaos makes faults, and judges each minute of them (15)")
    parser.add_argument("--seed", type=int, help="repeat the random changes, or faults, of an earlier run")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="run in N labs side by side")
    parser.add_argument("--every-kind", action="store_true", help="then some scenarios over the other tunnel types, and in the other layout, too")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)  # see pool.py
    parser.add_argument("--keep", action="store_true", help="afterwards, or at the first failed scenario, leave the lab up until Ctrl-C")
    args = parser.parse_args()
    for name in args.scenarios:
        if name.partition(".")[0] not in NAMES + WHEN_NAMED:
            parser.error(f"no scenario {name!r}; there are {', '.join(NAMES + WHEN_NAMED)}")
    if args.list:
        return args
    if args.keep and args.jobs > 1:
        parser.error("--keep looks at one lab: leave --jobs out")
    for program in ("flowtapd", "flowtapctl"):
        path = getattr(args, program) or os.path.join(ROOT, "bin", program)
        if not os.access(path, os.X_OK):
            parser.error(f"no program {path}: build it with `go build -o bin/ ./cmd/{program}`, or name it with --{program}")
        setattr(args, program, os.path.abspath(path))
    if os.geteuid() != 0:
        parser.error("the lab makes network namespaces and switches: run this with sudo")
    for tool in ("ovs-vswitchd", "mnexec", "ethtool", "ping", "busybox", "dnsmasq", "nft"):
        if not shutil.which(tool):
            parser.error(f"{tool} is not installed: apt-get install openvswitch-switch mininet ethtool iputils-ping busybox dnsmasq-base nftables")
    return args


def main():
    args = arguments()
    if args.list:
        for name in NAMES + WHEN_NAMED:
            module = importlib.import_module(f"scenarios.{name}")
            print(f"{name:16}{module.__doc__.splitlines()[0]}")
            for story in module.STORIES:
                print(f"  {name}.{story.__name__}")
        return 0
    names = (args.scenarios or NAMES) * args.repeat
    todo = [((args.tunnel, args.layout), story) for name in names for story in stories(name)]
    if args.every_kind:
        todo += [((t, args.layout), story) for t in TUNNELS if t != args.tunnel for name in OVER_EVERY_TUNNEL for story in stories(name)]
        todo += [((args.tunnel, other), story) for other in LAYOUTS if other != args.layout for name in IN_EVERY_LAYOUT for story in stories(name)]
    begin = time.monotonic()
    if args.worker:
        passed, failed = one_lab(args, map(str.strip, sys.stdin))
    elif args.jobs == 1 and not args.every_kind:
        passed, failed = one_lab(args, [story for _, story in todo])
    else:
        passed, failed = side_by_side(args, todo)
    if args.worker:
        return 0
    print(f"     {time.monotonic() - begin:.0f} s\n{passed} passed, {failed} failed", flush=True)
    return 1 if failed or not passed else 0


def one_lab(args, names):
    """Run stories in a lab, here; how many checks passed and failed."""
    from check import Checks
    from lab import Lab, how_to_look
    from world import World

    begin = time.monotonic()
    # Three nodes to work with, and n4, which no tunnel was used to before a scenario says so.
    with Lab(4, args.tunnel, layout=args.layout) as lab:
        w = World(lab, args.flowtapd, args.flowtapctl)
        w.changes, w.chaos_seconds, w.seed = args.changes, args.chaos_seconds, args.seed
        check = Checks(w.report)

        def mark():
            if args.worker:
                print(f"{pool.END}{check.passed} {check.failed}", flush=True)

        try:
            with attempt(check, "lab"):
                w.start()
                print(f"     4 nodes over {args.tunnel}, {args.layout}, connected after {time.monotonic() - begin:.1f} s", flush=True)
            mark()
            for name in names if not check.failed else []:
                run_one(w, check, name, args.tunnel, args.layout)
                mark()
                if args.keep and check.failed:
                    break
        except KeyboardInterrupt:
            check.that("runs to its end", False, "stopped by a signal")
        if args.keep:
            print(f"{how_to_look(lab)}\n  API: http://{w.flowtapd.http}\nCtrl-C ends it.", flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                signal.pause()
    return check.passed, check.failed


def side_by_side(args, todo):
    """Run stories in several labs, each in one of its kind, (tunnel type, layout); how many checks passed and failed."""
    from lab import stop_on_signals

    def command(kind):
        words = [sys.executable, os.path.abspath(__file__), "--worker", "--tunnel", kind[0], "--layout", kind[1], "--flowtapd", args.flowtapd,
                 "--flowtapctl", args.flowtapctl, "--changes", str(args.changes), "--chaos-seconds", str(args.chaos_seconds)]
        return words + (["--seed", str(args.seed)] if args.seed is not None else [])

    stop_on_signals()
    labs = pool.Pool(command, args.jobs)
    try:
        labs.run(sorted(todo, key=lambda t: t[1] not in LONG))  # the long ones first, lest one is left at the end
    except KeyboardInterrupt:
        labs.failed += 1
        print("FAIL stopped by a signal", flush=True)
    return labs.passed, labs.failed


def run_one(w, check, name, tunnel, layout):
    """Run a story, named as scenario.story."""
    begin = time.monotonic()
    scenario, _, one = name.partition(".")
    label = scenario + (f" over {tunnel}" if tunnel != "geneve" else "") + (f", {layout}" if layout != "one-bridge" else "")
    story = getattr(importlib.import_module(f"scenarios.{scenario}"), one)
    with attempt(check, label):
        story(w, check)
        check.that(f"{one}: flowtapd lives", w.flowtapd.running and not w.flowtapd.panicked())
        drops = w.lab.switch_drops()
        check.that(f"{one}: no frame overran a switch of the lab", not drops, f"lost for everyone, by node: {drops}")
    # What a story leaves must not fail the next one; a failed reset is this one's failure.
    with attempt(check, label):
        w.reset()
    print(f"     {name}: {time.monotonic() - begin:.1f} s", flush=True)


def stories(name):
    """The stories that a scenario's or a story's name stands for, as scenario.story."""
    scenario, _, one = name.partition(".")
    module = importlib.import_module(f"scenarios.{scenario}")
    names = [f"{scenario}.{s.__name__}" for s in module.STORIES]
    if not one:
        return names
    if name not in names:
        print(f"no story {name}; there are {', '.join(names)}", file=sys.stderr)
        sys.exit(2)
    return [name]


@contextlib.contextmanager
def attempt(check, name):
    """An exception is a failed check of that scenario, and the run goes on."""
    check.begin(name)
    try:
        yield
    except Exception as e:  # whatever a scenario raises
        check.crashed(e)


if __name__ == "__main__":
    sys.exit(main())
