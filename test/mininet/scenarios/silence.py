"""A node that disappears without a word: how soon it is noticed, and a port that goes on elsewhere."""

import contextlib
import os
import signal
import time

import netns
import ofdump
from scenarios.migration import migration_problems
from scenarios.moves import both_kinds, by, twin
from scenarios.redirect import inline
from topo import run
from traffic import Captures
from world import WAIT, sending

NOTICED = 12  # seconds: the switch may be silent for 5, and has 5 to answer an echo
AT_ONCE = 4  # seconds: two to answer, and what changing the other nodes takes; every change waits 5 for a silent switch


@contextlib.contextmanager
def stopped(w, node):
    """The node's Open vSwitch stands still, and its dataplane with it."""
    pid = w.lab.node(node).vswitchd_pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def cut(w, node):
    """The node's link to the controller is cut; its dataplane goes on."""
    def link(state):
        run(netns.inside(w.lab.underlay.pid, "ip", "link", "set", f"{node}-mgmt", state))
    link("down")
    try:
        yield
    finally:
        link("up")


def shop(w, action):
    w.network("shop")
    web, far = w.vms("shop", ("web", "n1"), ("far", "n2"))
    ids, = w.monitors(("ids", "n3"))
    return web, far, ids, w.tap(web, ids, direction="out", action=action)


def noticed(w, check):
    """The node is disconnected and its taps say so; nothing of its dataplane is lost where that goes on."""
    for how in (stopped, cut):
        web, far, ids, tap = shop(w, "forward")
        before = w.at_rest()
        begin = time.monotonic()
        with how(w, "n1"):
            status = w.api.wait_state("taps", tap, "degraded", timeout=NOTICED)["status"]
            told = time.monotonic() - begin
            w.api.wait_state("nodes", "n1", "disconnected", timeout=NOTICED)
            gone = time.monotonic() - begin
            named = w.api.wait_state("taps", tap, "degraded", timeout=WAIT, also=lambda t: "n1" in t["status"]["reason"] and "connected" in t["status"]["reason"])
            check.that(f"{how.__name__}: the tap is degraded after {told:.1f} s ({status['reason']}), the node disconnected after {gone:.1f} s, "
                       f"and the tap says so: {named['status']['reason']}", gone < NOTICED)
            if how is cut:
                copied(check, "cut off, the node goes on", web, far, ids)
        begin = time.monotonic()
        w.wait_connected()
        w.wait_tap(tap, web, ids)
        check.that(f"{how.__name__}: back after {time.monotonic() - begin:.1f} s", True)
        left = ofdump.difference(before, w.at_rest())
        check.that(f"{how.__name__}: the switches hold what they held", not left, "\n".join(left))
        copied(check, f"{how.__name__}, back", web, far, ids)
        w.reset()


def copied(check, what, web, far, ids):
    with Captures(far, ids) as at:
        with sending(web, both_kinds(web, far)) as out:
            out.wait_sent(300)
            out.stop()
        at.settle()
    check.same(f"{what}: frames arrive", out.sent, at[far].frames)
    check.same(f"{what}: and are copied once", out.sent, at[ids].frames)


def goes_on_elsewhere(w, check):
    """A port of the silent node appears on another: it is active there at once, before any keepalive has noticed."""
    for how in (stopped, cut):
        for action in ("forward", "redirect"):
            web, far, ids, tap = shop(w, action)
            title = f"{how.__name__}, {action}"
            with contextlib.ExitStack() as stack:
                if action == "redirect":
                    stack.enter_context(inline(w, (ids, ids)))
                flows = w.at_rest()["n1"]
                with how(w, "n1"):
                    begin = time.monotonic()
                    new = twin(w, web, "n4")
                    w.api.wait_state("ports", "web", "active", timeout=WAIT, also=lambda p: p["status"]["node"] == "n4")
                    active = time.monotonic() - begin
                    w.wait_tap(tap, new, ids)
                    took = time.monotonic() - begin
                    check.that(f"{title}: the port is active elsewhere after {active:.1f} s, its tap after {took:.1f} s", active < AT_ONCE)
                    lost = [a for a in w.api.get("ports", "web")["status"]["attachments"] if a.get("lost")]
                    check.equal(f"{title}: its old place is lost", ["n1"], [a["node"] for a in lost])
                    with Captures(new, far, ids) as at:
                        with sending(new, both_kinds(new, far)) as out, sending(far, both_kinds(far, new)) as into:
                            out.wait_sent(300)
                            into.wait_sent(300)
                            out.stop()
                            into.stop()
                        at.settle()
                    problems = migration_problems(out.sent, by(web, at[far].frames), by(web, at[ids].frames))
                    check.that(f"{title}: each frame from there was at the monitor once", not problems, problems)
                    check.same(f"{title}: each frame from there arrives", out.sent, by(web, at[far].frames))
                    check.same(f"{title}: and each frame to it", into.sent, by(far, at[new].frames))
                    with Captures(new, far) as at, sending(new, both_kinds(new, far)) as out, sending(far, both_kinds(far, new)) as into:
                        out.wait_sent(300)
                        returns(w, check, how, title)
                        w.api.wait_state("ports", "web", "migrating", "active", timeout=WAIT, also=lambda p: not any(a.get("lost") for a in p["status"]["attachments"]))
                        w.wait_tap(tap, new, ids)
                        out.wait_more(300)
                        out.stop()
                        into.stop()
                        at.settle()
                    lost_frames = len(out.sent) - len(by(web, at[far].frames)), len(into.sent) - len(by(far, at[new].frames))
                    check.equal(f"{title}: the node's return costs no frame in either direction", (0, 0), lost_frames)
                    check.equal(f"{title}: and the port stays where it is", "n4", w.api.get("ports", "web")["status"]["node"])
                changed = ofdump.difference({"n1": flows}, {"n1": w.at_rest()["n1"]})
                print(f"     {title}: {len(changed)} lines of n1's {len(flows)} changed", flush=True)
                w.lab.unplug(web)
                w.api.wait_state("ports", "web", "active", timeout=WAIT, also=lambda p: p["status"]["node"] == "n4")
            w.reset()


def returns(w, check, how, title):
    """End the silence now, and wait until the node is connected."""
    begin = time.monotonic()
    if how is stopped:
        os.kill(w.lab.node("n1").vswitchd_pid, signal.SIGCONT)
    else:
        run(netns.inside(w.lab.underlay.pid, "ip", "link", "set", "n1-mgmt", "up"))
    w.wait_connected()
    check.that(f"{title}: the node is back after {time.monotonic() - begin:.1f} s", True)


STORIES = [noticed, goes_on_elsewhere]
