"""What a tap costs the tapped VM: the paper's four scenarios, without a tap, with each action, and with OVS's own Mirror.

A sends to B, S has what A sends (the paper, section V.C and figure 4):

    (a) each on a node of its own          (b) A and S on one node, B on another
    (c) A and B on one node, S on another  (d) all on one node

A round measures every variant once, one after the other, each round beginning with another one; a
ratio compares a run with the untapped run of its own round, because the same path varies twofold
within an hour. A run is one iperf3 connection for some seconds, then pings. Copies are counted
along: what A gave to its switch against what S's eth0 got.
"""

import contextlib
import json
import re
import statistics
import subprocess
import sys
import time

import netns
from bench_counts import Counted
from bench_figures import spread
from bench_http import Broken
from bench_monitors import hairpin, mirror, mirror_tunnel

PORT = 5201
PINGS, WARM, PACE = 100, 5, 0.004  # counted, before them, seconds between

# Where B and S are; A is on n1.
PLACES = {"a": ("n2", "n3"), "b": ("n2", "n1"), "c": ("n1", "n3"), "d": ("n1", "n1")}
VARIANTS = ["no tap", "forward", "redirect", "Mirror"]


def measure(w, check, names=tuple(PLACES), variants=tuple(VARIANTS), rounds=5, amount=("-t", "2"), pings=PINGS):
    """Each scenario's variants; returns a list of figures. The variant without a tap is always measured. amount: iperf3's words for how much TCP."""
    pairs, monitors, out = {}, {}, []
    for node in sorted({PLACES[name][0] for name in names}):
        network = w.network(f"bulk-{node}")
        pairs[node] = w.vms(network, (f"a-{node}", "n1"), (f"b-{node}", node), quiet=False, warm=False)
    for node in sorted({PLACES[name][1] for name in names}):
        monitors[node], = w.monitors((f"s-{node}", node))
    variants = ["no tap"] + [v for v in variants if v != "no tap"]
    for name in names:
        at, monitor_at = PLACES[name]
        out += scenario(w, check, name, variants, *pairs[at], monitors[monitor_at], rounds, amount, pings)
    return out


def scenario(w, check, name, variants, a, b, monitor, rounds, amount, pings):
    """One scenario's figures, one a variant."""
    runs = {v: [] for v in variants}
    with Server(b) as server, mirror_tunnel(w, a, monitor) if "Mirror" in variants else contextlib.nullcontext():
        ping(a, b, WARM)
        for n in range(rounds):
            turn = n % len(variants)
            for variant in variants[turn:] + variants[:turn]:
                with in_force(w, variant, a, monitor) as by:
                    with Counted(w, a, b, monitor) as counted:
                        mbit, again = server.receives(a, amount)
                        rtt, unanswered = ping(a, b, pings)
                runs[variant].append({"mbit": mbit, "retransmitted": again, "rtt": rtt, "unanswered": unanswered, "inline": by, **counted.found})
            print(f"    {w.lab.tunnel} ({name}), round {n + 1} of {rounds}: "
                  + ", ".join(f"{v} {r[-1]['mbit']:.0f} Mbit/s" for v, r in runs.items()), file=sys.stderr, flush=True)
    return [figures(check, w.lab.tunnel, name, v, runs[v], runs["no tap"]) for v in variants]


@contextlib.contextmanager
def in_force(w, variant, a, monitor):
    """A variant, for the length of a block; gives what gives frames back, if anything does."""
    by = None
    with contextlib.ExitStack() as stack:
        if variant == "forward":
            stack.enter_context(w.tapped(a, monitor, direction="out"))
        elif variant == "redirect":
            by = stack.enter_context(hairpin(monitor))
            stack.enter_context(w.redirected(a, monitor, direction="out"))
        elif variant == "Mirror":
            stack.enter_context(mirror(w, a, monitor))
        yield by


def figures(check, tunnel, name, variant, runs, plain):
    """What runs of a variant come to, beside the untapped runs of the same rounds; frames are counted exactly for what is ours."""
    total = {k: sum(r[k] for r in runs) for k in ("frames", "seen", "returned", "arrived", "losses", "retransmitted", "unanswered")}
    title, missing = f"{tunnel} ({name}), {variant}", total["frames"] - total["seen"]
    if variant in ("forward", "redirect"):
        check.that(f"{title}: {total['frames']} frames sent, {total['seen']} at the monitor; of {missing} missing, kernels lost {total['losses']} at most",
                   0 <= missing <= total["losses"], total)
    if variant == "redirect":
        lost = total["returned"] - total["arrived"]
        check.that(f"{title}: {total['returned']} given back, {total['arrived']} arrived",
                   total["returned"] <= total["seen"] and 0 <= lost and total["frames"] - total["arrived"] <= total["losses"], total)
    return {"tunnel": tunnel, "scenario": name, "variant": variant, "inline": runs[0]["inline"], **total,
            **{k: spread([r[k] for r in runs]) for k in ("mbit", "rtt")},
            **{f"{k}_ratio": spread([r[k] / p[k] for r, p in zip(runs, plain)]) for k in ("mbit", "rtt")}, "runs": runs}


class Server:
    """iperf3 listening in a VM, for the length of a block."""

    def __init__(self, vm):
        self.vm = vm

    def __enter__(self):
        self._process = subprocess.Popen(netns.inside(self.vm.pid, "iperf3", "-s", "-p", str(PORT)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 5
        while f":{PORT:04X} " not in listening(self.vm.pid):
            if time.monotonic() > deadline:
                self.__exit__()
                raise Broken("iperf3 does not listen")
            time.sleep(0.01)
        return self

    def __exit__(self, *_exc):
        self._process.kill()
        self._process.wait()

    def receives(self, client, amount):
        """Megabits a second received over one TCP connection from a VM, and its retransmitted segments."""
        ip = next(i for i in self.vm.ips if "." in i)
        done = subprocess.run(netns.inside(client.pid, "iperf3", "-c", ip, "-p", str(PORT), *amount, "-J", "--connect-timeout", "5000"),
                              capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            raise Broken(f"iperf3 from {client.name} to {self.vm.name}: {done.stdout[-500:]}{done.stderr}")
        end = json.loads(done.stdout)["end"]
        return end["sum_received"]["bits_per_second"] / 1e6, end["sum_sent"]["retransmits"]


def listening(pid):
    """Local addresses of the sockets that listen in a process's namespace."""
    lines = []
    for name in ("tcp", "tcp6"):
        with open(f"/proc/{pid}/net/{name}") as f:
            lines += [line.split()[1] + " " for line in f if line.split()[3] == "0A"]
    return "\n".join(lines)


def ping(a, b, count):
    """The median round-trip time in milliseconds of count pings, and how many had no answer."""
    ip = next(i for i in b.ips if "." in i)
    done = subprocess.run(netns.inside(a.pid, "ping", "-n", "-c", str(WARM + count), "-i", str(PACE), "-W", "2", ip),
                          capture_output=True, text=True, timeout=60, check=False)
    took = [float(t) for t in re.findall(r"icmp_seq=\d+ .*time=([\d.]+) ms", done.stdout)]
    if len(took) <= WARM:
        raise Broken(f"ping from {a.name} to {b.name}: {done.stdout[-500:]}{done.stderr}")
    return statistics.median(took[WARM:]), WARM + count - len(took)
