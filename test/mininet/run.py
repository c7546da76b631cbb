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

from scenarios import NAMES, UPCOMING  # noqa: E402


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", metavar="scenario", help="a scenario, or one story of it as scenario.story; default: all")
    parser.add_argument("--list", action="store_true", help="list the scenarios")
    parser.add_argument("--tunnel", choices=["geneve", "vxlan", "gre"], default="geneve")
    parser.add_argument("--flowtapd", help="default: bin/flowtapd")
    parser.add_argument("--flowtapctl", help="default: bin/flowtapctl")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="run the scenarios N times in the same lab")
    parser.add_argument("--changes", type=int, default=20, metavar="N", help="random changes of the scenario escape (20)")
    parser.add_argument("--seed", type=int, help="repeat the random changes of an earlier run")
    parser.add_argument("--keep", action="store_true", help="afterwards, or at the first failed scenario, leave the lab up until Ctrl-C")
    args = parser.parse_args()
    for name in args.scenarios:
        if name.partition(".")[0] not in NAMES + UPCOMING:
            parser.error(f"no scenario {name!r}; there are {', '.join(NAMES + UPCOMING)}")
    if args.list:
        return args
    for program in ("flowtapd", "flowtapctl"):
        path = getattr(args, program) or os.path.join(ROOT, "bin", program)
        if not os.access(path, os.X_OK):
            parser.error(f"no program {path}: build it with `go build -o bin/ ./cmd/{program}`, or name it with --{program}")
        setattr(args, program, os.path.abspath(path))
    if os.geteuid() != 0:
        parser.error("the lab makes network namespaces and switches: run this with sudo")
    for tool in ("ovs-vswitchd", "mnexec", "ethtool", "ping", "busybox", "dnsmasq"):
        if not shutil.which(tool):
            parser.error(f"{tool} is not installed: apt-get install openvswitch-switch mininet ethtool iputils-ping busybox dnsmasq-base")
    return args


def main():
    args = arguments()
    names = args.scenarios or NAMES
    if args.list:
        for name in NAMES + UPCOMING:
            module = importlib.import_module(f"scenarios.{name}")
            print(f"{name:16}{module.__doc__.splitlines()[0]}")
            for story in module.STORIES:
                print(f"  {name}.{story.__name__}")
        return 0

    from check import Checks
    from lab import Lab, how_to_look
    from world import World

    begin = time.monotonic()
    # Three nodes to work with, and n4, which no tunnel was used to before a scenario says so.
    with Lab(4, args.tunnel) as lab:
        w = World(lab, args.flowtapd, args.flowtapctl)
        w.changes, w.seed = args.changes, args.seed
        check = Checks(w.report)
        try:
            with attempt(check, "lab"):
                w.start()
                print(f"     4 nodes over {args.tunnel}, connected after {time.monotonic() - begin:.1f} s", flush=True)
            for name in names * args.repeat if not check.failed else []:
                run_one(w, check, name)
                if args.keep and check.failed:
                    break
        except KeyboardInterrupt:
            check.that("runs to its end", False, "stopped by a signal")
        if args.keep:
            print(f"{how_to_look(lab)}\n  API: http://{w.flowtapd.http}\nCtrl-C ends it.", flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                signal.pause()
    print(f"{check.passed} passed, {check.failed} failed", flush=True)
    return 1 if check.failed or not check.passed else 0


def run_one(w, check, name):
    """Run all stories of a scenario, or the one of `scenario.story`."""
    begin = time.monotonic()
    for story in stories(name):
        with attempt(check, name.split(".")[0]):
            story(w, check)
            check.that(f"{story.__name__}: flowtapd lives", w.flowtapd.running and not w.flowtapd.panicked())
            drops = w.lab.switch_drops()
            check.that(f"{story.__name__}: no frame overran a switch of the lab", not drops, f"lost for everyone, by node: {drops}")
        # What a story leaves must not fail the next one; a failed reset is this one's failure.
        with attempt(check, name.split(".")[0]):
            w.reset()
    print(f"     {name}: {time.monotonic() - begin:.1f} s", flush=True)


def stories(name):
    """The functions that a scenario's or a story's name stands for."""
    scenario, _, one = name.partition(".")
    module = importlib.import_module(f"scenarios.{scenario}")
    return [s for s in module.STORIES if one in ("", s.__name__)]


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
