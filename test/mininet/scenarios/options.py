"""What a tap may do to its copies, and to its copies alone: truncate, rate_limit, rewrite_dst_mac."""

import contextlib
import math
import time

import frames
from traffic import Captures, send
from world import WAIT, broadcast, mixed, sending, some, udp

SIZE, CUT = 400, 100
PPS = 200  # of a tap; the bucket holds as many


def truncated_copies(w, check):
    """Copies have the first bytes and no more, the application's frames all of theirs; shorter frames stay whole."""
    w.network("shop")
    web, near, far = w.vms("shop", ("web", "n1"), ("near", "n1"), ("far", "n2"))
    here, there = w.monitors(("here", "n1"), ("there", "n3"))
    before = w.at_rest()
    for monitor, where in ((here, "local"), (there, "remote")):
        for peer in (near, far):
            with w.tapped(web, monitor, truncate=CUT), Captures(web, peer, here, there) as at:
                sent = send(web, some(mixed(udp(web, peer, size=SIZE), udp(web, peer, size=64), big_broadcast(web)), 150))
                back = send(peer, some(mixed(udp(peer, web, size=SIZE), big_broadcast(peer)), 150, 1000))
                at.settle()
            title = f"truncated, {where} monitor, peer on {peer.node.name}"
            check.same(f"{title}: what the VM sent is whole at its peer", sent, at[peer].frames)
            check.same(f"{title}: what the peer sent is whole at the VM", back, at[web].frames)
            check.same(f"{title}: copies have at most {CUT} bytes", [f[:CUT] for f in sent + back], at[monitor].frames)
            check.none(f"{title}: nothing at the other monitor", at[there if monitor is here else here].frames)
    check.equal("after these taps are deleted the switches are as before they came", before, w.at_rest())


def who_needs_no_copy(w, check):
    """Two taps see a frame: one copy if both want the same or one is whole, one each if they want different ones."""
    w.network("shop")
    web, near, far = w.vms("shop", ("web", "n1"), ("near", "n1"), ("far", "n2"))
    ids, = w.monitors(("ids", "n3"))

    def cut(batch, n):
        return [f[:n] for f in batch]

    for peer in (near, far):
        for title, a, b, expected in (
            ("equal forms: one copy", dict(truncate=CUT), dict(truncate=CUT), lambda sent: cut(sent, CUT)),
            ("the sender's is whole: one whole copy", {}, dict(truncate=CUT), lambda sent: sent),
            ("two forms: a copy each", dict(truncate=CUT), dict(truncate=200), lambda sent: cut(sent, CUT) + cut(sent, 200)),
        ):
            with w.tapped(web, ids, direction="out", **a), w.tapped(peer, ids, direction="in", **b), Captures(peer, ids) as at:
                sent = send(web, some(mixed(udp(web, peer, size=SIZE), big_broadcast(web)), 100))
                at.settle()
            check.same(f"{title}, peer on {peer.node.name}", expected(sent), at[ids].frames)
            check.same(f"{title}, peer on {peer.node.name}: the application's frames", sent, at[peer].frames)


def rewritten_copies(w, check):
    """Copies bear the monitor's own address: the declared one, or the one it is heard to use."""
    w.network("shop")
    web, near, far = w.vms("shop", ("web", "n1"), ("near", "n1"), ("far", "n2"))
    mac = "02:00:00:00:ee:01"
    here, there = w.monitors(("here", "n1", {"mac": mac}), ("there", "n3"))
    known = {here: frames.mac(mac), there: frames.mac(there.mac)}
    for monitor, where in ((here, "local, its address declared"), (there, "remote, its address learned")):
        state = "active" if monitor is here else "pending"
        tap = w.tap(web, monitor, state=state, wait=WAIT if monitor is here else 1, rewrite_dst_mac=True)
        if monitor is there:
            reason = w.api.get("taps", tap)["status"]["reason"]
            check.that(f"a monitor that nobody heard: the tap says so: {reason}", "mac" in reason, reason)
            send(there, [frames.udp(there.mac, web.mac, "10.9.9.9", web.ips[0], 4000, 5000, b"here I am")])
            w.wait_tap(tap, web, there)
        for peer in (near, far):
            with Captures(web, peer, monitor) as at:
                sent = send(web, some(mixed(udp(web, peer), broadcast(web)), 100))
                back = send(peer, some(mixed(udp(peer, web), broadcast(peer)), 100, 1000))
                at.settle()
            title = f"rewritten, {where}, peer on {peer.node.name}"
            check.same(f"{title}: what the VM sent is unchanged at its peer", sent, at[peer].frames)
            check.same(f"{title}: what the peer sent is unchanged at the VM", back, at[web].frames)
            check.same(f"{title}: copies go to the monitor's address", [known[monitor] + f[6:] for f in sent + back], at[monitor].frames)
        w.untap(tap)


def limited_copies(w, check):
    """A rate holds copies back and nothing else, and every frame of the flow is counted as delivered or dropped."""
    w.network("shop")
    web, near, far = w.vms("shop", ("web", "n1"), ("near", "n1"), ("far", "n2"))
    here, there = w.monitors(("here", "n1"), ("there", "n3"))
    for monitor, where in ((here, "local"), (there, "remote")):
        for peer in (near, far):
            title = f"limited to {PPS} frames a second, {where} monitor, peer on {peer.node.name}"
            # A second tap with a form of its own has a rate of its own; the whole one is not limited.
            with w.tapped(web, monitor, direction="out", rate_limit={"pps": PPS}, truncate=CUT) as tap, \
                    w.tapped(peer, there if monitor is here else here, direction="in"), \
                    Captures(peer, here, there) as at:
                began = time.monotonic()
                with sending(web, mixed(udp(web, peer, size=SIZE), big_broadcast(web)), rate=1000) as out:
                    out.wait_sent(2500)
                    out.stop()
                at.settle()
                took = time.monotonic() - began  # until the last copy was there
                sent, copies = out.sent, at[monitor].frames
                counters = fresh(w, tap)
            check.same(f"{title}: the application's frames", sent, at[peer].frames)
            check.same(f"{title}: the other tap's copies", sent, at[there if monitor is here else here].frames)
            allowed = {f[:CUT] for f in sent}
            check.that(f"{title}: copies are of the flow and come once", len(set(copies)) == len(copies) and set(copies) <= allowed)
            most = math.ceil(PPS * (took + 1)) + 1
            check.that(f"{title}: {len(copies)} copies of {len(sent)} in {took:.2f} s, no more than {most}", PPS <= len(copies) <= most)
            check.equal(f"{title}: matched", len(sent), counters["matched_packets"])
            check.equal(f"{title}: delivered is what arrived", len(copies), counters["delivered_packets"])
            check.equal(f"{title}: dropped is the rest", len(sent) - len(copies), counters["dropped_packets"])


def a_rate_that_changes(w, check):
    """PUT changes a tap's rate and takes it off, while frames are sent; the count goes on."""
    w.network("shop")
    web, far = w.vms("shop", ("web", "n1"), ("far", "n2"))
    ids, = w.monitors(("ids", "n3"))
    before = w.at_rest()
    tap = w.tap(web, ids, direction="out", rate_limit={"kbps": 200})
    spec = {k: v for k, v in w.api.get("taps", tap).items() if k not in ("status", "revision", "created_at", "updated_at")}
    with Captures(far, ids) as at:
        with sending(web, udp(web, far, size=SIZE)) as out:
            out.wait_more(500)
            w.api.replace("taps", tap, dict(spec, rate_limit={"pps": 50}), wait=WAIT)
            out.wait_more(500)
            got = w.api.replace("taps", tap, dict(spec, rate_limit={}), wait=WAIT)
            mark = len(out.sent)
            out.wait_more(300)
            out.stop()
        at.settle()
        counters = fresh(w, tap)
    check.equal("the tap without its rate", "active", got["status"]["state"])
    check.same("the application's frames", out.sent, at[far].frames)
    late = set(out.sent[mark:])
    check.same("without its rate every frame is copied", out.sent[mark:], [f for f in at[ids].frames if f in late])
    check.equal("matched", len(out.sent), counters["matched_packets"])
    check.that("some copies were dropped", counters["dropped_packets"] > 0, counters)
    w.untap(tap)
    check.equal("after its delete the switches are as before it came", before, w.at_rest())


def a_monitor_that_moves(w, check):
    """Copies with options follow a monitor, and survive a restart of the controller without a change."""
    w.network("shop")
    web, far = w.vms("shop", ("web", "n1"), ("far", "n2"))
    ids, = w.monitors(("ids", "n3", {"mac": "02:00:00:00:ee:02"}))
    address = frames.mac("02:00:00:00:ee:02")
    tap = w.tap(web, ids, truncate=CUT, rewrite_dst_mac=True, rate_limit={"pps": 100000})
    for to in ("n1", "n2"):
        w.lab.migrate(ids, to)
        w.wait_port(ids)
        w.wait_tap(tap, web, ids)
        with Captures(far, ids) as at:
            sent = send(web, some(mixed(udp(web, far, size=SIZE), big_broadcast(web)), 100))
            at.settle()
        check.same(f"the monitor is on {to}: its copies", [(address + f[6:])[:CUT] for f in sent], at[ids].frames)
        check.same(f"the monitor is on {to}: the application's frames", sent, at[far].frames)
    before = w.at_rest()
    w.flowtapd.kill()
    w.start()
    w.wait_tap(tap, web, ids)
    check.equal("a controller that starts anew changes nothing", before, w.at_rest())


def beside_a_redirect(w, check):
    """A monitor that gives frames back gets no copies that it would give back altered."""
    w.network("shop")
    web, far = w.vms("shop", ("web", "n1"), ("far", "n2"))
    ids, = w.monitors(("ids", "n3"))
    w.redirect(far, ids, direction="in")
    tap = w.tap(web, ids, direction="out", truncate=CUT, state="pending", wait=1)
    reason = w.api.get("taps", tap)["status"]["reason"]
    check.that(f"the tap says why it has to wait: {reason}", "back" in reason, reason)
    with Captures(far, ids) as at:
        sent = send(web, some(udp(web, far, size=SIZE), 50))
        at.settle()
    check.same("the monitor gets what is redirected to it", sent, at[ids].frames)
    check.none("which the target gets when it is given back only", at[far].frames)


def copied_to_a_pool(w, check):
    """Each member of a copy pool gets copies in the tap's form, under its own address; whole ones where another tap gives it those."""
    w.network("shop")
    web, near, far = w.vms("shop", ("web", "n1"), ("near", "n1"), ("far", "n2"))
    known = {}
    for n, (name, node) in enumerate((("here", "n1"), ("beside", "n2"), ("there", "n3")), 1):
        m, = w.monitors((name, node, {"mac": f"02:00:00:00:ee:{n:02x}"}))
        known[m] = frames.mac(f"02:00:00:00:ee:{n:02x}")
    here, beside, there = known
    w.pool("all", "copy", *known)
    before = w.at_rest()

    def batch(a, b, first=0):
        return some(mixed(udp(a, b, size=SIZE), udp(a, b, size=64), big_broadcast(a)), 120, first)

    with w.tapped(web, "all", truncate=CUT, rewrite_dst_mac=True):
        for title, more in (("one tap", None), ("its peer has the same", dict(dst="all", truncate=CUT, rewrite_dst_mac=True)), ("its peer has whole copies at one member", dict(dst=there))):
            for peer in (near, far):
                with contextlib.ExitStack() as stack:
                    if more:
                        stack.enter_context(w.tapped(peer, **more))
                    at = stack.enter_context(Captures(web, peer, *known))
                    sent, back = send(web, batch(web, peer)), send(peer, batch(peer, web, 1000))
                    at.settle()
                check.same(f"{title}: what the VM sent is whole at its peer, on {peer.node.name}", sent, at[peer].frames)
                check.same(f"{title}: what the peer sent is whole at the VM", back, at[web].frames)
                for m, address in known.items():
                    copies = [(address + f[6:])[:CUT] for f in sent + back]
                    if m is there and more and more["dst"] is there:
                        # What the peer sent was copied whole, what web sent in a form that does not stand for the whole.
                        copies = [(address + f[6:])[:CUT] for f in sent] + sent + back
                    check.same(f"{title}, peer on {peer.node.name}: {m.name} has its copies", copies, at[m].frames)
    check.equal("after these taps are deleted the switches are as before they came", before, w.at_rest())


def spread_over_a_pool(w, check):
    """The member of a spread pool that has a connection gets its copies in the tap's form; one without an address gets none, and the tap says so."""
    w.network("shop")
    web, near, far = w.vms("shop", ("web", "n1"), ("near", "n1"), ("far", "n2"))
    pair = here, there = w.monitors(("here", "n1", {"mac": "02:00:00:00:ee:01"}), ("there", "n3"))
    addresses = {here: frames.mac("02:00:00:00:ee:01"), there: frames.mac(there.mac)}
    w.pool("ids", "spread", *pair)
    before = w.at_rest()
    tap = w.tap(web, "ids", state="degraded", truncate=CUT, rewrite_dst_mac=True)
    reason = w.api.get("taps", tap)["status"]["reason"]
    check.that(f"a member that nobody heard: the tap says so: {reason}", "there" in reason and "mac" in reason, reason)
    send(there, [frames.udp(there.mac, web.mac, "10.9.9.9", web.ips[0], 4000, 5000, b"here I am")])
    w.api.wait_state("taps", tap, "active", timeout=WAIT)
    for peer in (near, far):
        for both in (False, True):
            with contextlib.ExitStack() as stack:
                if both:
                    stack.enter_context(w.tapped(peer, "ids", truncate=CUT, rewrite_dst_mac=True))
                at = stack.enter_context(Captures(web, peer, *pair))
                sent = send(web, some(mixed(*[udp(web, peer, size=SIZE, sport=5000 + k) for k in range(30)], big_broadcast(web)), 124))
                back = send(peer, some(mixed(*[udp(peer, web, size=SIZE, dport=5000 + k) for k in range(30)], big_broadcast(peer)), 124, 1000))
                at.settle()
            title = f"{'both ends' if both else 'one end'} tapped, peer on {peer.node.name}"
            check.same(f"{title}: what the VM sent is whole at its peer", sent, at[peer].frames)
            check.same(f"{title}: what the peer sent is whole at the VM", back, at[web].frames)
            check.that(f"{title}: each has its own address", all(f[:6] == addresses[m] for m in pair for f in at[m].frames) and all(at[m].frames for m in pair))
            check.same(f"{title}: one copy of each frame", [f[6:CUT] for f in sent + back], [f[6:] for m in pair for f in at[m].frames])
    w.untap(tap)
    check.equal("after the tap is deleted the switches are as before it came", before, w.at_rest())


def limited_to_a_pool(w, check):
    """A rate bounds what each member gets; every frame of the flow is counted as delivered or dropped."""
    w.network("shop")
    web, near, far = w.vms("shop", ("web", "n1"), ("near", "n1"), ("far", "n2"))
    pair = w.monitors(("here", "n1"), ("there", "n3"))
    w.pool("all", "copy", *pair)
    w.pool("ids", "spread", *pair)
    for pool in ("all", "ids"):
        for peer in (near, far):
            title = f"pool {pool}, limited to {PPS} frames a second, peer on {peer.node.name}"
            began = time.monotonic()
            with w.tapped(web, pool, direction="out", rate_limit={"pps": PPS}, truncate=CUT) as tap, Captures(peer, *pair) as at:
                with sending(web, mixed(*[udp(web, peer, size=SIZE, sport=5000 + k) for k in range(30)]), rate=1000) as out:
                    out.wait_sent(2500)
                    out.stop()
                at.settle()
                most = math.ceil(PPS * (time.monotonic() - began + 1)) + 1
                counters = fresh(w, tap)
            check.same(f"{title}: the application's frames", out.sent, at[peer].frames)
            copies = [at[m].frames for m in pair]
            if pool == "all":
                check.same(f"{title}: the members have the same copies", copies[0], copies[1])
                passed = copies[0]
            else:
                check.that(f"{title}: both have some", all(copies), [len(c) for c in copies])
                passed = copies[0] + copies[1]
            check.that(f"{title}: copies are of the flow and come once", len(set(passed)) == len(passed) and set(passed) <= {f[:CUT] for f in out.sent})
            check.that(f"{title}: {len(passed)} of {len(out.sent)} frames were copied, no more than {most}", PPS <= len(passed) <= most)
            check.equal(f"{title}: matched", len(out.sent), counters["matched_packets"])
            check.equal(f"{title}: delivered is what was copied", len(passed), counters["delivered_packets"])
            check.equal(f"{title}: dropped is the rest", len(out.sent) - len(passed), counters["dropped_packets"])


def big_broadcast(a):
    """Broadcasts of SIZE bytes."""
    def build(payload):
        return frames.udp(a.mac, frames.BROADCAST, a.ips[0], "255.255.255.255", 6000, 6000, payload)
    return lambda n: frames.fill(build, SIZE, n)


def fresh(w, tap):
    return w.api.must("GET", f"/v1/taps/{tap}?fresh=true")["status"]["counters"]


STORIES = [truncated_copies, who_needs_no_copy, rewritten_copies, limited_copies, a_rate_that_changes, a_monitor_that_moves, beside_a_redirect,
           copied_to_a_pool, spread_over_a_pool, limited_to_a_pool]
