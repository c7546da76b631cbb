#!/usr/bin/python3
"""The bench: how long a tap takes and what it costs, on three nodes of real Open vSwitch.

    sudo /usr/bin/python3 test/mininet/bench.py [--quick] [--json FILE] [part ...]

Parts: latency, throughput, megaflows; all without. Nothing is asserted about time. Exit code 0
unless something is broken: a frame that was miscounted, a megaflow that a tap elsewhere changed,
a crash.
"""

import argparse
import json
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True  # under sudo it would leave root's files in the checkout

AIMS = {"created": {"p50": 2}, "first_copy": {"p50": 10, "p99": 30}, "active": {"p50": 30, "p99": 150}}
WHAT = {"created": "POST to 201", "first_copy": "POST to first copy", "active": "POST to active", "deleted": "DELETE ?wait to 204"}
PARTS = ["megaflows", "throughput", "latency"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="under two minutes: fewer taps, rounds and other taps; see what breaks, not how fast")
    parser.add_argument("--json", metavar="FILE", help="write every figure there, too")
    parser.add_argument("--tunnel", choices=["geneve", "vxlan", "gre"], default="geneve")
    parser.add_argument("--flowtapd", default=os.path.join(ROOT, "bin", "flowtapd"))
    parser.add_argument("--taps", type=int, help="taps made for each latency figure; default 100, quick 20")
    parser.add_argument("--present", type=int, help="other taps that are many; default 10000, quick 1000")
    parser.add_argument("--rounds", type=int, help="rounds of throughput; default 5, quick 1")
    parser.add_argument("--direction", choices=["in", "out", "both"], default="both", help="of the taps whose latency is measured")
    args = parser.parse_args()
    for part in args.parts:
        if part not in PARTS:
            parser.error(f"no part {part!r}; there are {', '.join(PARTS)}")
    if not os.access(args.flowtapd, os.X_OK):
        parser.error(f"no program {args.flowtapd}: build it with `make build`, or name it with --flowtapd")
    args.flowtapd = os.path.abspath(args.flowtapd)
    if os.geteuid() != 0:
        parser.error("the lab makes network namespaces and switches: run this with sudo")
    args.parts = args.parts or PARTS
    args.taps = args.taps or (20 if args.quick else 100)
    args.present = args.present or (1000 if args.quick else 10_000)
    args.rounds = args.rounds or (1 if args.quick else 5)
    return args


def main():
    args = arguments()
    from bench_figures import load
    from check import Checks
    from lab import Lab
    from world import World

    begin, figures = time.monotonic(), {"args": vars(args), "load": [load()]}
    print(f"load average {load()} on {os.cpu_count()} CPUs", flush=True)
    with Lab(3, args.tunnel) as lab:
        w = World(lab, args.flowtapd)
        check = Checks(w.report)
        w.start()
        figures["versions"] = sorted({n["status"].get("version", "?") for n in w.api.list("nodes")})
        for part in PARTS:  # in this order: the latency part leaves 10,000 taps behind
            if part in args.parts:
                check.begin(part)
                try:
                    globals()[part](w, check, args, figures)
                except Exception as e:  # whatever a part raises: the others are measured all the same
                    check.crashed(e)
                if part != PARTS[-1]:
                    w.reset()
        check.that("flowtapd lives", w.flowtapd.running and not w.flowtapd.panicked())
    figures["load"].append(load())
    figures["broken"] = check.failed
    if args.json:
        with open(args.json, "w") as f:
            json.dump(figures, f, indent=1)
    print(f"\nload average {load()}; {time.monotonic() - begin:.0f} s; {check.passed} checks passed, {check.failed} failed", flush=True)
    return 1 if check.failed else 0


def megaflows(w, check, _args, figures):
    """Whether ports without taps keep their megaflows while others are tapped."""
    from scenarios import megaflows as scenario

    print("\nMegaflows of ports without taps, with and without taps elsewhere", flush=True)
    for story in scenario.STORIES:
        story(w, check)
    figures["megaflows_same"] = not check.failed


def throughput(w, check, args, figures):
    """TCP throughput with and without taps."""
    import bench_throughput
    from bench_figures import load, table

    seconds = 1 if args.quick else 2
    print(f"\nTCP throughput, one connection, {seconds} s a run, each way between two runs without a tap, load {load()}", flush=True)
    figures["throughput"] = found = bench_throughput.measure(w, check, args.rounds, seconds)
    rows = []
    for f in found:
        ratio = f.get("ratio")
        rows.append([f"{f['path']}, {f['way']}", f"{f['mbit']['median']:.0f}", f["mbit"]["n"],
                     f"{ratio['median']:.2f}" if ratio else "1", f"{ratio['min']:.2f} to {ratio['max']:.2f}" if ratio else "",
                     f"{f['copies']}/{f['frames']}" if ratio else ""])
    table(["", "Mbit/s", "runs", "ratio", "spread", "copies/frames"], rows)
    print("  ratio: to the untapped runs right before and after, median of all rounds; copies/frames at the monitor", flush=True)


def latency(w, check, args, figures):
    """How long a tap takes."""
    import bench_latency
    from bench_figures import load

    print(f"\nOne tap ({args.direction}) after the other, {args.taps} each, on the network whose other taps are there, load {load()}", flush=True)
    w.network("shop")
    web, peer = w.vms("shop", ("web", "n1"), ("peer", "n2"))
    here, there = w.monitors(("here", "n1"), ("there", "n3"))
    others = bench_latency.Others(w, "shop")
    figures["latency"] = found = []
    # The hard case: every other tap is on a port that is attached, of the same network.
    for attached, absent in ((10, 0), (args.present, 0)):
        took = others.have(attached, absent)
        settled = others.settle(web, here)
        print(f"  {attached} taps on {len(others.attached)} attached ports: made in {took:.1f} s, settled {settled:.1f} s later", flush=True)
        for where, monitor in (("local", here), ("remote", there)):
            f = bench_latency.measure(w, check, f"{where} monitor, {attached} others", web, peer, monitor, args.taps, args.direction)
            found.append(dict(f, present=attached, monitor=where))
            show(found[-1])
    print(f"  first copy: at the monitor's eth0 by the kernel's clock, of a stream of {bench_latency.RATE} frames/s; its pacing is in the figures.\n"
          "  active: as a watch stream tells it. Aims, ms: 201 p50 2; first copy p50 10, p99 30; active p50 30, p99 150.", flush=True)


def show(f):
    """One table of latencies, in milliseconds."""
    from bench_figures import table

    rows = []
    for key, what in WHAT.items():
        aims = AIMS.get(key, {})
        rows.append([what] + [f"{f[key][p]:.1f}" + (("" if f[key][p] <= aims[p] else " !") if p in aims else "") for p in ("p50", "p90", "p99", "max")])
    rows.append(["gap between two copies"] + [f"{f['pacing'][p]:.1f}" for p in ("p50", "p90", "p99", "max")])
    for key, what in (("round", "flowtap_round_seconds"), ("proof", "flowtap_proof_seconds")):
        if f[key]:
            rows.append([what] + [f"{f[key][p][0]:.0f} to {f[key][p][1]:.0f}" for p in ("p50", "p90", "p99")] + [f"mean {f[key]['mean']:.1f}"])
    rows.append(["sentinel packet-ins a tap", f"{f['sentinels_per_tap']:.0f}", "", "", ""])
    print(f"\n  {f['title']}; load {f['load'][0].split()[0]} to {f['load'][1].split()[0]}; ms, ! is above the aim")
    table(["", "p50", "p90", "p99", "max"], rows)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
