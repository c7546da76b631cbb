"""Placement: monitors are chosen by load, and what moves between them is seen exactly once."""

import collections
import contextlib
import ipaddress
import subprocess
import threading
import time

import frames
import netns
from traffic import Captures
from world import WAIT, address, mixed, sending, udp

SOURCE = """
placement hybrid
execute[flowtap:tap(p, match="udp,tp_dst={port}", action="forward", direction="in")] :-
    flowtap:labels(p, "tier", "public"), watched(port)
watched(5001) watched(5002) watched(5003)
"""
BEARS = 100e3  # bytes a second for which a monitor needs all of its CPU
CPUS = 4  # that each node is said to have; as many busy processes are all of its CPU


def a_hot_node(w, check):
    """Busy processes drive up the CPU that a node's agent reports: a part of what its monitor has goes to another node's."""
    w.flowtapd.kill()  # the next one has moved nothing of late: another story may have used the budget of moves
    w.start()
    w.network("shop")
    public = {"labels": {"tier": "public"}}
    client, *services = w.vms("shop", ("client", "n3"), *((f"web{i}", "n1", public) for i in range(4)))
    ids1, ids2 = w.monitors(("ids1", "n1"), ("ids2", "n2"))
    made = w.api.create("policies", {"id": "shop", "source": SOURCE}, wait=WAIT)
    check.equal("the policy is active", ("active", 12), (made["status"]["state"], made["status"]["taps"]))
    until(w, lambda taps: len(taps) == 12)
    check.equal("every tap is at home", {"ids1": 12}, where(w))
    traffic = mixed(*(udp(client, s, dport=port) for s in services for port in (5001, 5002, 5003)))
    with contextlib.ExitStack() as stack:
        at = stack.enter_context(Captures(*services, ids1, ids2))
        stack.enter_context(heartbeats(w, at, ids1, ids2))
        for node in ("n1", "n2"):
            stack.enter_context(process(w.flowtapctl, "--server", w.api.base, "node-agent", "--node", node, "--interval", "500ms",
                                        "--namespace-of", str(w.lab.node(node).vswitchd_pid), "--cpus", str(CPUS)))
        with sending(client, traffic, rate=500) as out:
            out.wait_sent(500)
            began = time.monotonic()
            with contextlib.ExitStack() as busy:
                for _ in range(CPUS):
                    busy.enter_context(process(*netns.inside(w.lab.node("n1").pid, "nice", "-n", "19", "sh", "-c", "while :; do :; done")))
                taps = until(w, lambda taps: any(t["dst"] == "ids2" for t in taps), 4 * WAIT)
                moved, took = sum(t["dst"] == "ids2" for t in taps), time.monotonic() - began
                out.wait_more(500)
                said = w.api.wait_state("ports", "ids2", "active", timeout=WAIT, also=told)["status"]
                load = w.api.get("nodes", "n1")["status"]["load"]
            print(f"     {moved} of 12 taps moved {took:.1f} s after the processes began; CPU of n1 is {load['cpu']}", flush=True)
            out.stop()
        at.settle()
    check.that("the agent says that n1 is busy", load["cpu"] > 0.77, load)
    check.that("a part moved, and a part stayed", 0 < moved < 12, where(w))
    check.that("a port's status says what it carries, and a monitor's what it said", said["load"]["received"] > 0 and said["monitor"]["received_frames"] > 0)
    check.same("the services got every frame", out.sent, [f for s in services for f in at[s].frames])
    check.that("both monitors had frames", at[ids1].frames and at[ids2].frames)
    check.same("and every frame was seen by one monitor, once, throughout", out.sent, at[ids1].frames + at[ids2].frames)


def a_flow_too_large_for_one(w, check):
    """A flow that asks for more than its monitor bears is divided by remote addresses: both directions of each at one monitor."""
    w.network("shop")
    remotes = [f"10.0.1.{i}" for i in range(16, 32)] + [f"fd00::1:{i:x}" for i in range(16, 32)]
    client, web = w.vms("shop", ("client", "n3", {"ips": remotes}), ("web", "n1"))
    ids1, ids2 = w.monitors(("ids1", "n1"), ("ids2", "n2"))
    made = w.api.create("policies", {"id": "shop", "source": 'placement hybrid execute[flowtap:tap("web", action="forward")]'}, wait=WAIT)
    check.equal("the policy is active", ("active", 1), (made["status"]["state"], made["status"]["taps"]))
    check.equal("it is one tap, at home", {"ids1": 1}, where(w))

    def arp(a, of):  # who has an address that nobody has, each time another
        return lambda n: frames.arp(a.mac, of, f"10.1.{n >> 8 & 255}.{n & 255}")

    def to_web(remote):
        return lambda n: frames.udp(client.mac, web.mac, remote, address(web, ":" in remote), 4000, 5000, frames.numbered(n))

    def from_web(remote):
        return lambda n: frames.udp(web.mac, client.mac, address(web, ":" in remote), remote, 5000, 4000, frames.numbered(n))

    what = remotes + ["arp"]
    incoming = mixed(*map(to_web, remotes), arp(client, remotes[1]))
    outgoing = mixed(*map(from_web, remotes), arp(web, address(web)))
    with Captures(web, client, ids1, ids2) as at:
        with heartbeats(w, at, ids1, ids2, capacity=58e3), sending(client, incoming, rate=500) as into, sending(web, outgoing, rate=500) as out:
            began = time.monotonic()
            taps = until(w, lambda taps: any(t["dst"] == "ids2" for t in taps), 4 * WAIT)
            print(f"     one tap became {len(taps)}, {time.monotonic() - began:.1f} s after the traffic began", flush=True)
            first = {into: into.next, out: out.next}
            into.wait_more(170)
            out.wait_more(170)
            into.stop()
            out.stop()
        at.settle()
    check.equal("nothing has moved since", sorted(t["id"] for t in taps), sorted(t["id"] for t in w.api.list("taps", policy="shop")))
    check.same("web got every frame", into.sent, at[web].frames)
    check.same("the client got every frame", out.sent, at[client].frames)
    check.same("every frame was seen by one monitor, once, throughout", into.sent + out.sent, at[ids1].frames + at[ids2].frames)
    seen, has = {m.name: set(at[m].frames) for m in (ids1, ids2)}, collections.defaultdict(set)
    for sender, begin in first.items():
        for n in range(begin, len(sender.sent)):
            has[what[n % len(what)]].update(m for m, got in seen.items() if sender.sent[n] in got)
    check.equal("there were frames of every remote address, and ARP", set(what), set(has))
    check.equal("each is at one monitor, in both directions", {}, {k: v for k, v in has.items() if len(v) != 1})
    by_slice = collections.defaultdict(set)
    for remote in remotes:
        by_slice[int(ipaddress.ip_address(remote)) & 15].update(has[remote])
    check.equal("its low-order bits decide, in IPv4 and IPv6", {}, {k: v for k, v in by_slice.items() if len(v) != 1})
    check.equal("both monitors have some", {"ids1", "ids2"}, set().union(*by_slice.values()))
    check.equal("ARP is where the flow as a whole is", {min(taps, key=lambda t: t["priority"])["dst"]}, has["arp"])


def told(port):
    """Whether a status says what the monitor's port carries, and what the monitor said of it."""
    load, monitor = port["status"].get("load"), port["status"].get("monitor")
    return load and monitor and load["received"] > 0 and monitor["received_frames"] > 0


def where(w):
    """How many taps lead to each monitor."""
    count = {}
    for t in w.api.list("taps", policy="shop"):
        count[t["dst"]] = count.get(t["dst"], 0) + 1
    return count


def until(w, holds, timeout=WAIT):
    """Wait until something holds of the policy's taps, and all are active; returns them."""
    deadline = time.monotonic() + timeout
    while True:
        taps = w.api.list("taps", policy="shop")
        if holds(taps) and all(t["status"]["state"] == "active" for t in taps):
            return taps
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {timeout} s the taps are {taps}")
        time.sleep(0.05)


@contextlib.contextmanager
def process(*command):
    """A process for the length of a block."""
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        child.kill()
        child.wait()


@contextlib.contextmanager
def heartbeats(w, at, *monitors, capacity=0):
    """What programs on monitors would say, every half second: what they received, and the CPU that it cost them, of the quarter
    of their node's that they have. capacity is what they say to bear."""
    ended, before = threading.Event(), {m.name: (0, time.monotonic()) for m in monitors}

    def beat():
        while not ended.wait(0.5):
            for m in monitors:
                got, now = at[m].frames, time.monotonic()
                total, (last, since) = sum(map(len, got)), before[m.name]
                before[m.name] = total, now
                w.api.must("PUT", f"/v1/ports/{m.name}/heartbeat", {"cpu": min(1.0, (total - last) / (now - since) / BEARS), "share": 0.25,
                                                                    "capacity": capacity, "received_frames": len(got), "received_bytes": total})

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


STORIES = [a_flow_too_large_for_one, a_hot_node]
