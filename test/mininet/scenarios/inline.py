"""The inline monitor that the redirect scenarios stand on, between two namespaces and without Open vSwitch."""

import contextlib
import os
import subprocess
import time

import frames
import kernel
from craft import craft
from inline import Inline
from topo import run
from traffic import Captures, Sender, send


class Namespace:
    """A network namespace with eth0, as far as captures and senders care a VM."""

    def __init__(self, name, number):
        self._process = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._process.stdout.readline()
        self.name, self.pid, self.mac, self.ips = name, self._process.pid, f"02:00:00:00:01:{number:02x}", [f"10.1.0.{number}", f"fd01::{number}"]

    def end(self):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


@contextlib.contextmanager
def wires(count):
    """Pairs of namespaces, each with a wire between their eth0: (outside, inside the monitor)."""
    made = [Namespace(f"{side}{i}", 2 * i + (side == "in")) for i in range(count) for side in ("out", "in")]
    pairs = list(zip(made[::2], made[1::2]))
    try:
        for a, b in pairs:
            run(["ip", "-batch", "-"], f"link add eth0 netns {a.pid} type veth peer name eth0 netns {b.pid}\n")
            for n in (a, b):
                run(["nsenter", f"--net=/proc/{n.pid}/ns/net", "sh", "-ec", "sysctl -qw net.ipv6.conf.all.disable_ipv6=1; ip link set eth0 up"])
        yield pairs
    finally:
        for n in made:
            n.end()


def batch(a, b, count, first=0):
    """Frames of several kinds; tagged ones, too, and none of them to the monitor's own MAC."""
    kinds = [("udp", {}), ("udp6", {}), ("tcp", {"dl_vlan": 42, "dl_vlan_pcp": 3}), ("arp", {"dl_dst": frames.BROADCAST}),
             ("raw", {"vlan_tci": 0}), ("udp", {"dl_vlan": 7, "inner_tci": 8}), ("llc", {})]
    return [craft(kinds[n % len(kinds)][0], a, b, n, **kinds[n % len(kinds)][1]) for n in range(first, first + count)]


def one_armed(w, check):
    """Frames come back as they went, tags and all; its own frames are not taken for received ones."""
    file = os.path.join(w.lab.directory, "inline")
    with wires(1) as ((out, inside),), Inline((inside, inside), capture=file) as inline, Captures(out) as at:
        wanted = send(out, batch(out, inside, 700), rate=2000)
        at[out].wait_for(700)
        at.settle()
        check.same("every frame comes back, unmodified", wanted, at[out].frames)
        check.that("in order", wanted == at[out].frames)
        check.equal("its counts", (700, 700, 0), tuple(inline.counts[k] for k in ("received", "returned", "dropped")))
        check.same("its capture has every frame, tags included", wanted, inline.numbered)
    with wires(1) as ((out, inside),), Inline((inside, inside)) as inline, Captures(out) as at:
        inline.tell("drop")
        send(out, batch(out, inside, 70))
        at.settle()
        check.none("told to drop, none", at[out].frames)
        check.equal("counted as dropped", 70, inline.counts["dropped"])
        inline.tell("delay 0.2")
        inline.tell("pass")
        begin = time.monotonic()
        late = send(out, batch(out, inside, 50))
        at[out].wait_for(50)
        check.same("with a delay, all", late, at[out].frames)
        check.that("and not sooner", at[out].seen[0].at - begin >= 0.2)


def two_armed(w, check):
    """Frames leave by the other arm, and only in that direction."""
    with wires(2) as ((left, one), (right, two)), Inline((one, two)) as inline, Captures(left, right) as at:
        wanted = send(left, batch(left, right, 200), rate=2000)
        send(right, batch(right, left, 50, 1000), rate=2000)
        at.settle()
        check.same("what comes by the first arm leaves by the second", wanted, at[right].frames)
        check.none("nothing leaves by the first", at[left].frames)
        check.equal("what comes by the second was not looked at", 200, inline.counts["received"])


def verdicts(_w, check):
    """Segments with a text are dropped, or answered by a RST in the name of either end."""
    with wires(1) as ((out, inside),), Inline((inside, inside)) as inline, Captures(out) as at:
        def segment(v6, payload, **options):
            i = out.ips[v6], inside.ips[v6]
            return frames.tcp(out.mac, inside.mac, *i, 4000, 80, payload, seq=1000, ack=2000, flags=frames.PSH | frames.ACK, **options)

        good = [segment(v6, b"GET / " + frames.numbered(n), **options) for n, (v6, options) in enumerate(((0, {}), (1, {}), (0, {"vlan": 5})))]
        bad = [segment(v6, b"GET /evil " + frames.numbered(n), **options) for n, (v6, options) in enumerate(((0, {}), (1, {}), (0, {"vlan": 5})))]
        other = [craft("udp", out, inside, 1), frames.udp(out.mac, inside.mac, out.ips[0], inside.ips[0], 1, 2, b"/evil")]
        inline.tell("drop-if /evil")
        send(out, good + bad + other)
        at.settle()
        check.same("drop-if: all but the segments with the text", good + other, at[out].frames)
        inline.tell("reset-if /evil")
        send(out, good[:2] + bad[:2])
        at.settle()
        resets = []
        for v6 in (0, 1):
            a, b, length = (out.mac, out.ips[v6]), (inside.mac, inside.ips[v6]), len(b"GET /evil " + frames.numbered(0))
            resets += [frames.tcp(b[0], a[0], b[1], a[1], 80, 4000, flags=frames.RST | frames.ACK, seq=2000, ack=1000 + length),
                       frames.tcp(a[0], b[0], a[1], b[1], 4000, 80, flags=frames.RST | frames.ACK, seq=1000, ack=2000)]
        check.same("reset-if: two resets for each of them", good + other + good[:2] + resets, at[out].frames)
        check.equal("counted as invented", 4, inline.counts["invented"])


def fast_enough(_w, check):
    """2,000 frames a second each way, and a burst as a TCP stream makes it."""
    with wires(2) as ((left, one), (right, two)), Inline((one, two), (two, one)) as inline, Captures(left, right) as at:
        there = [frames.fill(lambda p: frames.udp(left.mac, right.mac, left.ips[0], right.ips[0], 1, 2, p), n=n) for n in range(4000)]
        back = [frames.udp(right.mac, left.mac, right.ips[0], left.ips[0], 2, 1, frames.numbered(n)) for n in range(4000)]
        senders = [Sender(vm, sent.__getitem__, len(sent), 2000).start() for vm, sent in ((left, there), (right, back))]
        for s in senders:
            s.join()
        at[right].wait_for(len(there))
        at[left].wait_for(len(back))
        at.settle()
        check.same("2,000 full-size frames a second", there, at[right].frames)
        check.same("and as many small ones the other way", back, at[left].frames)
        check.equal("none overran it", 0, inline.counts["overrun"])


def a_stream(_w, check):
    """100 MB of TCP between two kernels arrive whole; told to drop, nothing more does."""
    with wires(2) as ((left, one), (right, two)), Inline((one, two), (two, one)) as inline:
        for end in (left, right):
            run(["nsenter", f"--net=/proc/{end.pid}/ns/net", "sh", "-ec", f"ethtool -K eth0 tx off >/dev/null; ip addr add {end.ips[0]}/24 dev eth0"])
        with kernel.Connection(left, right, 80, timeout=120) as connection:
            begin = time.monotonic()
            check.that("100 MB arrive intact", connection.transfer(100_000_000))
            print(f"     100 MB in {time.monotonic() - begin:.1f} s", flush=True)
            counts = inline.counts
            check.equal("every frame given back, none overran it", (counts["received"], 0, 0), (counts["returned"], counts["overrun"], counts["refused"]))
            inline.tell("drop")
            connection.client.sendall(b"x" * 1000)
            connection.server.settimeout(1)
            try:
                check.none("told to drop, nothing arrives", [connection.server.recv(1)])
            except TimeoutError:
                check.that("told to drop, nothing arrives", inline.counts["dropped"] > 0)


STORIES = [one_armed, two_armed, verdicts, fast_enough, a_stream]
