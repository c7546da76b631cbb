#!/usr/bin/python3
"""The bench: what a tap costs, how long it takes, and how long what goes wrong lasts, on nodes of real Open vSwitch.

    sudo /usr/bin/python3 test/mininet/bench.py [--quick] [--json FILE] [part ...]

Parts: scenarios (the paper's four, with each action and with OVS's own Mirror), failover (of a monitor), moves,
attack (making taps while others attack), latency (of making taps), replicas (failover of a switch's master);
all without. docs/BENCHMARKS.md has figures. Nothing is asserted about
time. Exit code 0 unless something is broken: a frame that was miscounted, a crash.
"""

import argparse
import json
import os
import shutil
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True  # under sudo it would leave root's files in the checkout

AIMS = {"created": {"p50": 2}, "first_copy": {"p50": 10, "p99": 30}, "active": {"p50": 30, "p99": 150}}
WHAT = {"created": "POST to 201", "first_copy": "POST to first copy", "active": "POST to active", "deleted": "DELETE ?wait to 204"}
PARTS = ["scenarios", "failover", "moves", "attack", "latency", "replicas"]
TUNNELS = ["geneve", "vxlan", "gre"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="about two minutes: fewer rounds, moves and taps; see what breaks, not how fast")
    parser.add_argument("--json", metavar="FILE", help="write every figure there, too")
    parser.add_argument("--tunnel", action="append", choices=TUNNELS, help="of scenarios, may be repeated, default all (quick: geneve); the other parts take the first")
    parser.add_argument("--layout", choices=["one-bridge", "two-bridge"], default="one-bridge", help="of every node")
    parser.add_argument("--scenario", action="append", choices="abcd", help="of the paper; may be repeated; default all")
    parser.add_argument("--variant", action="append", choices=["forward", "redirect", "Mirror"], help="beside no tap; may be repeated; default all")
    parser.add_argument("--rounds", type=int, help="rounds of scenarios and attack; default 5, quick 1")
    parser.add_argument("--seconds", type=int, help="of TCP in each run of scenarios; default 2, quick 1")
    parser.add_argument("--failovers", type=int, help="times that a monitor goes and comes; default 20, quick 2; a quarter of it silently")
    parser.add_argument("--kills", type=int, help="times that a switch's master is killed; default 50, quick 3")
    parser.add_argument("--moves", type=int, help="moves of each kind and variant; default 20, quick 1")
    parser.add_argument("--taps", type=int, help="taps made for each figure of latency and attack; default 100, quick 20")
    parser.add_argument("--present", type=int, help="other taps that are many; default 10000, quick 1000")
    parser.add_argument("--direction", choices=["in", "out", "both"], default="both", help="of the taps whose latency is measured")
    parser.add_argument("--flowtapd", default=os.path.join(ROOT, "bin", "flowtapd"))
    args = parser.parse_args()
    for part in args.parts:
        if part not in PARTS:
            parser.error(f"no part {part!r}; there are {', '.join(PARTS)}")
    if not os.access(args.flowtapd, os.X_OK):
        parser.error(f"no program {args.flowtapd}: build it with `make build`, or name it with --flowtapd")
    args.flowtapd = os.path.abspath(args.flowtapd)
    if os.geteuid() != 0:
        parser.error("the lab makes network namespaces and switches: run this with sudo")
    for tool in ("ovs-vswitchd", "mnexec", "iperf3", "ping", "tc"):
        if not shutil.which(tool):
            parser.error(f"{tool} is not installed: apt-get install openvswitch-switch mininet iperf3 iputils-ping iproute2")
    args.parts = args.parts or PARTS
    args.tunnel = args.tunnel or (TUNNELS[:1] if args.quick else TUNNELS)
    args.scenario = args.scenario or list("abcd")
    args.variant = args.variant or ["forward", "redirect", "Mirror"]
    for name, full, quick in (("rounds", 5, 1), ("seconds", 2, 1), ("failovers", 20, 2), ("kills", 50, 3), ("moves", 20, 1), ("taps", 100, 20), ("present", 10_000, 1000)):
        if getattr(args, name) is None:
            setattr(args, name, quick if args.quick else full)
    return args


def main():
    args = arguments()
    from bench_figures import load
    from check import Checks

    begin, figures = time.monotonic(), {"args": vars(args), "load": [load()]}
    print(f"load average {load()} on {os.cpu_count()} CPUs", flush=True)
    check = Checks(lambda: "")
    for n, tunnel in enumerate(args.tunnel):
        parts = [p for p in PARTS if p in args.parts and (n == 0 or p == "scenarios")]  # in this order: latency leaves 10,000 taps behind
        if parts:
            over(tunnel, parts, check, args, figures)
    figures["load"].append(load())
    figures["broken"] = check.failed
    if args.json:
        with open(args.json, "w") as f:
            json.dump(figures, f, indent=1)
    print(f"\nload average {load()}; {time.monotonic() - begin:.0f} s; {check.passed} checks passed, {check.failed} failed", flush=True)
    return 1 if check.failed else 0


def over(tunnel, parts, check, args, figures):
    """Run parts in one lab."""
    from lab import Lab
    from world import World

    with Lab(4, tunnel, layout=args.layout) as lab:
        w = World(lab, args.flowtapd, http=lab.controller_ip)  # where attackers reach it
        check.report = w.report
        w.start()
        figures["versions"] = sorted({n["status"].get("version", "?") for n in w.api.list("nodes")})
        for part in parts:
            check.begin(part)
            try:
                globals()[part](w, check, args, figures)
            except Exception as e:  # whatever a part raises: the others are measured all the same
                check.crashed(e)
            if part != parts[-1]:
                w.reset()
        check.that("flowtapd lives", w.flowtapd.running and not w.flowtapd.panicked())


def scenarios(w, check, args, figures):
    """The paper's four scenarios."""
    import bench_scenarios
    from bench_figures import load, table

    print(f"\nThe paper's scenarios over {w.lab.tunnel}, {args.rounds} rounds of {args.seconds} s of TCP and {bench_scenarios.PINGS} pings, load {load()}", flush=True)
    found = bench_scenarios.measure(w, check, args.scenario, args.variant, args.rounds, ("-t", str(args.seconds)))
    figures.setdefault("scenarios", []).extend(found)
    table(["", "Mbit/s", "ratio", "min to max", "RTT ms", "ratio", "min to max", "at S/sent", "arrived/sent"], [
        [f"({f['scenario']}) {f['variant']}", f"{f['mbit']['median']:.0f}", *ratio(f["mbit_ratio"]), f"{f['rtt']['median']:.3f}", *ratio(f["rtt_ratio"]),
         f"{f['seen']}/{f['frames']}", f"{f['arrived']}/{f['frames']}"] for f in found])
    print("  ratio: to the untapped run of the same round, median of all rounds. S gives frames back, redirected, by: "
          f"{', '.join(sorted({f['inline'] for f in found if f.get('inline')})) or '-'}", flush=True)


def ratio(f):
    return f"{f['median']:.2f}", f"{f['min']:.2f} to {f['max']:.2f}"


def failover(w, check, args, figures):
    """A redirect with fail_mode open whose monitor goes and comes."""
    import bench_failover
    from bench_figures import load, table

    print(f"\nfail_mode open: a monitor that gives back goes, and comes, under {bench_failover.RATE} frames/s, load {load()}", flush=True)
    figures["failover"] = found = bench_failover.measure(w, check, args.failovers, -(-args.failovers // 4))
    table(["ms", "times", "gap p50", "p90", "max", "lost p50", "max", "back p50", "p90", "max", "lost p50", "max"], [
        [f["way"], f["gap"]["n"], *(f"{f['gap'][p]:.1f}" for p in ("p50", "p90", "max")), *(f["lost"][p] for p in ("p50", "max")),
         *(f"{f['through'][p]:.1f}" for p in ("p50", "p90", "max")), *(f["lost_back"][p] for p in ("p50", "max"))] for f in found])
    print("  gap: from the last frame before to the first that passed without the monitor. back: from its return to the first frame at it.", flush=True)


def moves(w, check, args, figures):
    """A VM that moves."""
    import bench_moves
    from bench_figures import load, table

    print(f"\nA VM moves, {args.moves} times each, under {bench_moves.RATE} frames/s each way, by turns with no tap, copied and redirected; load {load()}", flush=True)
    figures["moves"] = found = bench_moves.measure(w, check, args.moves)
    table(["ms", "out p50", "p90", "max", "lost p50", "in p50", "p90", "max", "lost p50", "itself"], [
        [f"{f['kind']}, {f['variant']}", *(c for d in ("out", "in") for c in (*(f"{f[d + '_gap'][p]:.0f}" for p in ("p50", "p90", "max")), f[d + "_lost"]["p50"])),
         f"{f['took']['p50']:.0f}"] for f in found])
    print("  out, in: the longest time between two frames that arrived; itself: what plugging over, or the change of speakers, takes of it.", flush=True)


def replicas(w, check, args, figures):
    """A switch's master is killed."""
    import bench_replicas
    from bench_figures import load, table

    print(f"\nkill -9 of a switch's master, {args.kills} times, of three replicas; load {load()}", flush=True)
    figures["replicas"] = found = bench_replicas.measure(w, check, args.kills, bench_replicas.program(args.flowtapd, "etcd"))
    table(["until another acts, ms", "times", "p50", "p90", "max"], [
        [what, found[key]["n"], *(f"{found[key][p]:.0f}" for p in ("p50", "p90", "max"))]
        for key, what in (("all", "all"), ("leader", "it led"), ("other", "another led")) if key in found])
    print("  from right before kill -9 to the first flow at the switch of a tap that a survivor was given then. Aim: at most 2000, worst.", flush=True)


def attack(w, check, args, figures):
    """How long a tap takes while others attack."""
    import attacker
    import bench_attack
    from bench_figures import load, table

    hostile = "; ".join(f"{port}: " + ", ".join(f"{n} {habit}" for habit, n in habits.items()) for port, habits in attacker.HABITS.items())
    print(f"\nOne tap after the other, {args.taps} each with and without hostile connections ({hostile}) of {attacker.ADDRESSES} hosts, "
          f"{args.rounds} rounds, load {load()}", flush=True)
    w.network("shop")
    web, peer = w.vms("shop", ("web", "n1"), ("peer", "n2"))
    there, = w.monitors(("there", "n3"))
    figures["attack"] = f = bench_attack.measure(w, check, web, peer, there, args.rounds, -(-args.taps // args.rounds))
    table(["ms", "alone p50", "p99", "attacked p50", "p99", "ratio p50", "p99"], [
        [what, *(f"{f[arm][key][p]:.1f}" for arm in ("alone", "attacked") for p in ("p50", "p99")), *(f"{f['ratio'][key][p]:.2f}" for p in ("p50", "p99"))]
        for key, what in {**{k: WHAT[k] for k in ("created", "first_copy", "active")}, "new_connection": "a new connection's GET"}.items()])
    table(["a second", "made", "cut", "open at the end", "of flowtapd", "packet-ins", "kB"], [
        [port, *(f"{sum(s[port][k] for s in f['attack']) / len(f['attack']):.0f}" for k in ("connected", "cut")), *(f"{min(v)} to {max(v)}" for v in (
            [s[port]["held"] for s in f["attack"]], [s["flowtapd"][port] for s in f["attack"]])),
         *(f"{sum(s[port][k] for s in f['attack']) / len(f['attack']) / scale:.0f}" for k, scale in (("packet_ins", 1), ("bytes", 1000)))] for port in attacker.HABITS])
    print(f"  CPUs used: attackers {sum(s['cpu'] for s in f['attack']) / len(f['attack']):.2f}, flowtapd {f['alone']['flowtapd_cpu']['p50']:.2f} alone, "
          f"{f['attacked']['flowtapd_cpu']['p50']:.2f} attacked (medians), of {os.cpu_count()}, which the switches share. Aim: ratios of medians up to 2. Load {f['load']}", flush=True)


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
