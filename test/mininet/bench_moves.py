"""How long a VM that moves is cut off, without a tap, with its frames copied, and with them redirected.

web talks with far, numbered frames both ways all the time. `plug`: its interface is unplugged from
one switch and plugged in at the other, as fast as the lab does it. `live`: it exists on both nodes,
and from one moment on speaks in the new place. Variants by turns. The gap is the longest time
between two frames that arrived one after the other, by the kernel's clock at far (`out`), and in
web's two places (`in`); it has the stream's pace in it. Every frame that arrived must have been at
the monitor exactly once.
"""

import contextlib
import sys
import time
from collections import Counter

from bench_figures import percentiles
from bench_monitors import hairpin
from bench_stream import Copies, Stream
from scenarios.moves import rename, twin
from world import WAIT, udp

RATE = 1000  # frames a second, each way
VARIANTS = ["no tap", "forward", "redirect"]
INTO, NEW = 1 << 30, 1 << 28  # added to the numbers of frames to web, and of those that it sends from its new place
UNDER_WAY = 2.0  # seconds that a copy may be later than its frame, on a machine short of CPU
STEADY = 0.15  # seconds before and after


class Shop:
    """The VMs, and the frames that arrive where."""

    def __init__(self, w):
        self.w = w
        w.network("shop")
        self.web, self.far = w.vms("shop", ("web", "n1"), ("far", "n2"))
        self.ids, = w.monitors(("ids", "n3"))

    @contextlib.contextmanager
    def variant(self, variant):
        """A variant in force for the length of a block; gives the tap's id, if any."""
        with contextlib.ExitStack() as stack:
            if variant == "redirect":
                stack.enter_context(hairpin(self.ids))
            yield stack.enter_context(self.w.tapped(self.web, self.ids, action=variant)) if variant != "no tap" else None

    def settled(self, vm, tap):
        self.w.wait_port(vm)
        if tap:
            self.w.wait_tap(tap, vm, self.ids)


class Account:
    """What arrived at the peer, in web's places and at the monitor, from a mark on."""

    def __init__(self, stack, far, places, ids):
        self._at = {"out": [stack.enter_context(Copies(far))], "in": [stack.enter_context(Copies(vm)) for vm in places]}
        self._monitor = stack.enter_context(Copies(ids))
        self.frames = {"out": [], "in": []}
        self._seen = Counter()

    def read(self):
        for direction, captures in self._at.items():
            self.frames[direction] += sorted(f for capture in captures for f in capture.waiting())
        self._seen.update(number for _, number in self._monitor.waiting())

    def mark(self):
        """Only what arrives from now on counts, once something does."""
        self.frames = {direction: [] for direction in self.frames}
        self.wait(all, "there is no traffic")
        self.frames = {direction: [max(got, key=lambda f: f[0])] for direction, got in self.frames.items()}

    def wait(self, enough, what):
        """Read until enough(the lists of frames by direction)."""
        deadline = time.monotonic() + WAIT
        while not enough(self.frames.values()):
            if time.monotonic() > deadline:
                raise TimeoutError(what)
            time.sleep(0.005)
            self.read()

    def wait_new(self):
        """Wait until frames that arrived after now are there in both directions."""
        now = time.time_ns()
        self.wait(lambda got: all(frames[-1][0] > now for frames in got), "the traffic does not come back")

    def close(self, copied, ends=()):
        """Read what is under way; gaps and losses by direction, and what was not at the monitor once.

        copied: they must have been. ends: numbers at which a sender began or ended.
        """
        self.read()
        got = {direction: list(frames) for direction, frames in self.frames.items()}
        deadline = time.monotonic() + UNDER_WAY
        while copied and time.monotonic() < deadline and not all(self._seen[n] for frames in got.values() for _, n in frames):
            time.sleep(0.01)
            self.read()
        out = {"wrong": []}
        for direction, frames in got.items():
            numbers = {number for _, number in frames}
            out[direction] = {"gap": max(b[0] - a[0] for a, b in zip(frames, frames[1:])) / 1e6, "lost": lost(numbers, ends if direction == "out" else ()),
                              "arrived": len(numbers)}
            if copied:
                first = min(at for at, _ in frames)
                out["wrong"] += [f"{direction}, number {number}, {(at - first) / 1e6:.1f} ms after the first: {self._seen[number]} times at the monitor"
                                 for at, number in frames if self._seen[number] != 1]
        return out


def lost(numbers, ends=()):
    """How many are missing between the lowest and the highest of each sender's numbers; ends are a sender's first and last."""
    places = {}
    for n in (*numbers, *ends):
        places.setdefault(n // NEW, set()).add(n)
    return sum(max(some) - min(some) + 1 - len(some & numbers) for some in places.values())


def measure(w, check, count, kinds=("plug", "live"), variants=tuple(VARIANTS)):
    """Each kind of move, count times with each variant; returns a list of figures."""
    s, found = Shop(w), []
    for kind in kinds:
        runs = {v: [] for v in variants}
        for n in range(count):
            turn = n % len(variants)
            for variant in (*variants[turn:], *variants[:turn]):
                with s.variant(variant) as tap:
                    to = "n4" if s.web.node.name == "n1" else "n1"
                    runs[variant].append(MOVES[kind](w, s, tap, to))
            if n % 5 == 4 or count < 5:
                print(f"    {kind}, {n + 1} of {count}: " + ", ".join(f"{v} {r[-1]['out']['gap']:.0f} and {r[-1]['in']['gap']:.0f} ms" for v, r in runs.items()),
                      file=sys.stderr, flush=True)
        drops = w.lab.switch_drops()
        for variant, got in runs.items():
            arrived, wrong = sum(r[d]["arrived"] for r in got for d in ("out", "in")), [f"move {n}: {text}" for n, r in enumerate(got) for text in r["wrong"]]
            check.that(f"{kind}, {variant}: traffic went on after {count} moves" if variant == "no tap"
                       else f"{kind}, {variant}: each of {arrived} frames that arrived, through {count} moves, was at the monitor exactly once",
                       not wrong, "\n".join([*wrong, f"frames lost before any switch, in all: {drops}"]))
        found += [{"kind": kind, "variant": v, "took": percentiles([r["took"] for r in got]),
                   **{f"{d}_{k}": percentiles([r[d][k] for r in got]) for d in ("out", "in") for k in ("gap", "lost")}, "runs": got} for v, got in runs.items()]
    return found


def plug(w, s, tap, to):
    """Unplug here, plug there."""
    web, far = s.web, s.far
    with contextlib.ExitStack() as stack:
        stack.enter_context(Stream(web, udp(web, far), RATE))
        stack.enter_context(Stream(far, udp(far, web), RATE, INTO))
        got = Account(stack, far, [web], s.ids)
        time.sleep(STEADY)
        got.mark()
        begin = time.time_ns()
        w.lab.migrate(web, to)
        plugged = time.time_ns()
        s.settled(web, tap)
        got.wait_new()
        time.sleep(STEADY)
        return {**got.close(tap), "took": (plugged - begin) / 1e6}


def live(w, s, tap, to):
    """The VM is in two places, and stops speaking in the one when it begins in the other."""
    web, far = s.web, s.far
    new = twin(w, web, to)
    w.api.wait_state("ports", "web", "migrating", timeout=WAIT, also=lambda p: p["status"]["node"] == web.node.name)
    if tap:
        w.api.wait_state("taps", tap, "active", timeout=WAIT)
    with contextlib.ExitStack() as stack:
        old = stack.enter_context(Stream(web, udp(web, far), RATE))
        stack.enter_context(Stream(far, udp(far, web), RATE, INTO))
        got = Account(stack, far, [web, new], s.ids)
        time.sleep(STEADY)
        got.mark()
        begin = time.time_ns()
        ends = old.stop() - 1, NEW
        stack.enter_context(Stream(new, udp(web, far), RATE, NEW))
        spoke = time.time_ns()
        w.api.wait_state("ports", "web", "migrating", timeout=WAIT, also=lambda p: p["status"]["node"] == to)
        if tap:
            w.wait_tap(tap, new, s.ids)
        got.wait_new()
        time.sleep(STEADY)
        w.lab.unplug(web)
        w.api.wait_state("ports", "web", "active", timeout=WAIT, also=lambda p: p["status"]["node"] == to)
        if tap:
            w.wait_tap(tap, new, s.ids)
        time.sleep(STEADY)
        found = got.close(tap, ends)
    w.lab.remove_vm(web)
    s.web = rename(w, new, "web")
    return {**found, "took": (spoke - begin) / 1e6}


MOVES = {"plug": plug, "live": live}
