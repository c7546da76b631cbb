"""A VM that moves to another node takes its taps along, and leaves nothing behind."""

from collections import Counter

import frames
import ofdump
from traffic import Captures
from world import WAIT, exact, mixed, sending, tcp, udp

SLACK = 400  # frames that may be under way, in a switch short of CPU
BESIDE = 50  # copies that may be lost beside an unplugged port, in one direction; 14 are the most that were seen


def under_traffic(w, check):
    """From node to node, to the monitor's own, and back."""
    w.network("shop")
    # web starts on n2, so that n1 is first seen without it: what n1 must look like again.
    web, peer, near = w.vms("shop", ("web", "n2"), ("peer", "n2"), ("near", "n1"))
    ids, = w.monitors(("ids", "n3"))
    w.tap(web, ids)
    without_web = w.at_rest()["n1"]

    move(w, check, web, peer, ids, "n1")
    move(w, check, web, peer, ids, "n2")
    left = ofdump.difference({"n1": without_web}, {"n1": w.lab.snapshot()["n1"]})
    check.that("nothing of the port is left on the node that it moved away from", not left, "\n".join(left))
    move(w, check, web, peer, ids, "n3")  # to the monitor's own node
    move(w, check, web, peer, ids, "n1")


def move(w, check, web, peer, ids, to, title=""):
    """Move web under 1,000 numbered frames a second each way."""
    title = f"{title}{web.node.name} to {to}, monitor on {ids.node.name}"
    hurts = unplugging_hurts(web, ids)
    with Captures(web, peer, ids) as at:
        with sending(web, mixed(udp(web, peer), tcp(web, peer, v6=True)), unplugged=True) as out, \
                sending(peer, mixed(udp(peer, web), tcp(peer, web, v6=True))) as into:
            out.wait_sent(500)
            into.wait_sent(500)
            first = out.next, into.next
            w.lab.migrate(web, to)
            w.wait_port(web)
            hurts |= unplugging_hurts(web, ids)
            last = out.next, into.next
            back = resumed(at, out, web, peer) and resumed(at, into, peer, web)
            out.wait_more(500)
            into.wait_more(500)
            out.stop()
            into.stop()
        at.settle()
    check.that(f"{title}: traffic flows again", back)
    for n, (what, sender, sent, receiver) in enumerate((("out", web, out.sent, peer), ("in", peer, into.sent, web))):
        own = frames.mac(sender.mac)
        received = [f for f in at[receiver].frames if f[6:12] == own]
        copies = [f for f in at[ids].frames if f[6:12] == own]
        spared = uncopied(received, copies, range(first[n] - SLACK, last[n] + 1) if hurts else ())
        problems = migration_problems(sent, [f for f in received if f not in spared], copies)
        lost = len(sent) - len(received)
        check.that(f"{title}, {what}: each of {len(received)} frames that arrived was copied exactly once ({lost} frames lost in the move, "
                   f"{len(copies) - len(received) + len(spared)} of them copied; {len(spared)} copies lost with the port)", not problems and len(received) >= 500 and len(spared) <= BESIDE, problems)


def resumed(at, sender, a, b):
    """Wait until a frame that a sends from now on reaches b."""
    now = sender.next
    own = frames.mac(a.mac)
    return at[b].wait_until(lambda f: f[6:12] == own and frames.number(f) >= now, WAIT)


def unplugging_hurts(vm, monitor):
    """Whether to unplug vm from where it is, or to plug it in there, may cost the monitor copies.

    Where a port comes to a switch or is taken off it, the userspace datapath of Open vSwitch loses frames that
    come by tunnel for others on the node, some milliseconds long: also with no controller and no tap.
    """
    return vm.node is monitor.node


def uncopied(received, copies, numbers):
    """Frames with one of these numbers that were received and not copied."""
    copied = set(copies)
    return {f for f in received if f not in copied and frames.number(f) in numbers}


def migration_problems(sent, received, copies):
    """Frames that arrived and were not copied once, copies that are no frames; as text."""
    known, arrived, copied = set(sent), Counter(received), Counter(copies)
    problems = [f"arrived {n} times: {frames.describe(f)}" for f, n in arrived.items() if n > 1]
    problems += [f"arrived, and copied {copied[f]} times: {frames.describe(f)}" for f in arrived if copied[f] != 1]
    problems += [f"copied {n} times: {frames.describe(f)}" for f, n in copied.items() if n > 1 and f not in arrived]
    problems += [f"not as it was sent: {frames.describe(f)}" for f in {*arrived, *copied} if f not in known]
    if len(problems) > 12:
        problems = problems[:11] + [f"... {len(problems) - 12} more ...", problems[-1]]
    return "\n".join(problems)


def both_ends_tapped(w, check):
    """With both endpoints tapped to the monitor, a move costs no copy and makes no second one."""
    w.network("shop")
    web, peer = w.vms("shop", ("web", "n1"), ("peer", "n2"))
    ids, = w.monitors(("ids", "n3"))
    w.tap(web, ids)
    w.tap(peer, ids)
    move(w, check, web, peer, ids, "n2", "both tapped, ")
    move(w, check, web, peer, ids, "n1", "both tapped, ")


def by_way_of_nowhere(w, check):
    """A VM that is plugged nowhere for a while, and a monitor that moves."""
    w.network("shop")
    web, peer = w.vms("shop", ("web", "n1"), ("peer", "n2"))
    ids, = w.monitors(("ids", "n3"))
    tap = w.tap(web, ids)
    w.lab.unplug(web)
    port = w.api.wait_state("ports", web.name, "down", timeout=WAIT)
    check.that("an unplugged port is down", port["status"]["state"] == "down")
    state = w.api.wait_state("taps", tap, "pending", "degraded", timeout=WAIT)["status"]
    check.that(f"its tap says why it does not work: {state.get('reason')}", web.name in state.get("reason", ""), state)
    w.lab.plug(web, "n2")
    w.wait_port(web)
    w.wait_tap(tap, web, ids)
    w.warm([web, peer])
    exact(check, "plugged in elsewhere", web, peer, ids)

    w.lab.migrate(ids, "n1")
    w.wait_port(ids)
    w.wait_tap(tap, web, ids)
    exact(check, "after the monitor moved", web, peer, ids)


STORIES = [under_traffic, both_ends_tapped, by_way_of_nowhere]
