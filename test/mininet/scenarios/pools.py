"""Pools: copies to every member, connections spread over members, and redirects through them."""

import collections
import contextlib
import os

import frames
from inline import Inline
from traffic import Captures, send
from world import WAIT, broadcast, mixed, multicast, ping, some, tcp, udp

CONNECTIONS = 200


def connection(a, b, k, first, v6=False):
    """Six frames of connection k, three each way: [(sender, frame)]."""
    out = [tcp(a, b, v6, sport=10000 + k, dport=80)(first + 6 * k + i) for i in range(3)]
    back = [tcp(b, a, v6, sport=80, dport=10000 + k)(first + 6 * k + 3 + i) for i in range(3)]
    return out, back


def connections(a, b, first=0):
    """The frames of all connections: what a sends, what b sends, and who each frame is of."""
    out, back, of = [], [], {}
    for k in range(CONNECTIONS):
        o, r = connection(a, b, k, first, v6=k % 2 == 1)
        out, back = out + o, back + r
        of.update({f: k for f in o + r})
    return out, back, of


def copied(a, b, out, back, *monitors):
    """Send both ways, and give what a, b and each monitor got."""
    with Captures(a, b, *monitors) as at:
        send(a, out, rate=1500)
        send(b, back, rate=1500)
        at[b].wait_for(len(out), 2.0)
        at[a].wait_for(len(back), 2.0)
        at.settle()
    return at


def places(check, title, of, at, monitors, every=True):
    """Where each connection is; checks that each is at one member, whole and once."""
    where = collections.defaultdict(set)
    for m in monitors:
        for f in at[m].frames:
            where[of.get(f)].add(m.name)
    check.same(f"{title}: each frame is copied once", list(of), [f for m in monitors for f in at[m].frames])
    split = {k: names for k, names in where.items() if len(names) > 1}
    check.that(f"{title}: both directions of each connection are at one member", not split, split)
    return {k: min(names) for k, names in where.items()}


def slices(w, pool, timeout=WAIT):
    return w.api.get("pools", pool)["status"].get("slices", {})


def to_everyone(w, check):
    """Each member of a copy pool has each frame once, also where contracts lead to a member besides."""
    w.network("shop")
    web, near, far = w.vms("shop", ("web", "n1"), ("near", "n1"), ("far", "n2"))
    here, beside, there, spare = w.monitors(("here", "n1"), ("beside", "n2"), ("there", "n3"), ("spare", "n3"))
    w.pool("all", "copy", here, beside, there)

    def exact(title, peer, members, others=(), of=lambda f: True):
        kinds = [mixed(udp(a, b), udp(a, b, v6=True), tcp(a, b), tcp(a, b, size=frames.FULL), ping(a, b), udp(a, b, vlan=42), broadcast(a), multicast(a, v6=True))
                 for a, b in ((web, peer), (peer, web))]
        out, back = some(kinds[0], 80), some(kinds[1], 80, 1000)
        at = copied(web, peer, out, back, *members, *others)
        check.same(f"{title}: {peer.name} gets what web sent", out, at[peer].frames)
        check.same(f"{title}: web gets what {peer.name} sent", back, at[web].frames)
        for m in members:
            check.same(f"{title}: {m.name} has each frame once", [f for f in out + back if of(f)], at[m].frames)
        for m in others:
            check.none(f"{title}: {m.name} has none", at[m].frames)

    with w.tapped(web, "all"):
        for peer in (near, far):
            exact(f"web tapped to the pool, peer {peer.name}", peer, (here, beside, there), (spare,))
        with w.tapped(far, "all"):
            exact("web and far tapped to the pool", far, (here, beside, there), (spare,))
        for member in (here, beside, there):
            with w.tapped(far, member):
                exact(f"far tapped to {member.name} besides", far, (here, beside, there))
        w.pool("two", "copy", beside, spare)
        with w.tapped(far, "two"):
            exact("far tapped to another pool besides", far, (here, beside, there, spare))
        w.pool("either", "spread", beside, there)
        with w.tapped(far, "either"):
            exact("far tapped to a spread pool of members besides", far, (here, beside, there))
        tap = w.api.list("taps")[0]["id"]
        w.lab.unplug(there)
        status = w.api.wait_state("taps", tap, "degraded", timeout=WAIT)["status"]
        check.that(f"a member unplugged: the tap is degraded: {status['reason']}", "there" in status["reason"])
        exact("a member unplugged", far, (here, beside))
        w.lab.plug(there, "n4")
        w.wait_port(there)
        w.api.wait_state("taps", tap, "active", timeout=WAIT)
        exact("plugged again, on n4", far, (here, beside, there))
        w.api.replace("pools", "all", {"mode": "copy", "members": [{"port": m.name} for m in (here, spare)]}, wait=WAIT)
        w.api.wait_state("taps", tap, "active", timeout=WAIT)
        w.at_rest()
        exact("other members", far, (here, spare), (beside, there))


def spread(w, check):
    """A connection is at one member, by weight; one that goes hands over its own and takes them back."""
    w.network("shop")
    web, far = w.vms("shop", ("web", "n1"), ("far", "n2"))
    monitors = one, two, three = w.monitors(("one", "n1"), ("two", "n2"), ("three", "n3"))
    w.pool("ids", "spread", *monitors, weights=(1, 1, 2))
    tap = w.tap(web, "ids")
    out, back, of = connections(web, far)

    def look(title, a=web, b=far):
        at = copied(a, b, out, back, *monitors)
        check.same(f"{title}: what web sent arrives", out, at[b].frames)
        check.same(f"{title}: and what far sent", back, at[a].frames)
        return places(check, title, of, at, monitors)

    had = look("weights 1, 1, 2")
    shares = collections.Counter(had.values())
    status = slices(w, "ids")
    check.equal("the pool's status tells all slices", 256, sum(status.values()))
    for m, weight in zip(monitors, (1, 1, 2)):
        check.that(f"{m.name} has {shares[m.name]} of {CONNECTIONS} connections and {status[m.name]} of 256 slices for a weight of {weight} in 4",
                   abs(shares[m.name] - CONNECTIONS * weight / 4) < 35 and abs(status[m.name] - 64 * weight) < 35, (shares, status))
    with w.tapped(far, "ids"):
        check.equal("both ends tapped: connections are where they were", had, look("both ends tapped"))
    with w.tapped(far, two):
        at = copied(web, far, out, back, *monitors)
        check.same("far tapped to a member besides: that one has each frame once", out + back, at[two].frames)
        check.same("far tapped to a member besides: the others have theirs once", [f for f in of if had[of[f]] in ("one", "three")], at[one].frames + at[three].frames)

    w.lab.unplug(three)
    w.api.wait_state("taps", tap, "degraded", timeout=WAIT)
    now = look("three unplugged")
    check.equal("three unplugged: the others' connections stay", {k: m for k, m in had.items() if m != "three"}, {k: m for k, m in now.items() if had[k] != "three"})
    check.equal("three unplugged: it has no slices", {"one", "two"}, set(slices(w, "ids")))
    w.lab.plug(three, "n4")
    w.wait_port(three)
    w.api.wait_state("taps", tap, "active", timeout=WAIT)
    check.equal("three plugged again, elsewhere: it has its connections back", had, look("three plugged again"))

    w.api.replace("pools", "ids", {"mode": "spread", "members": [{"port": m.name, "weight": n} for m, n in zip(monitors, (3, 1, 2))]}, wait=WAIT)
    w.at_rest()
    now = look("a heavier member")
    moved = {k: m for k, m in now.items() if m != had[k]}
    check.that(f"a heavier member: {len(moved)} connections move, to it alone", moved and set(moved.values()) == {"one"}, moved)

    # Broadcasts and what is not IP go to one member, too.
    others = some(mixed(broadcast(far), multicast(far), multicast(far, v6=True), ping(far, web), udp(far, web, vlan=7)), 60)
    at = copied(web, far, [], others, *monitors)
    check.same("frames of other kinds are copied once, to some member", others, [f for m in monitors for f in at[m].frames])


def through_a_pool(w, check):
    """A redirect to a spread pool: each connection through one inline monitor, and none past."""
    w.network("shop")
    web, near, far = w.vms("shop", ("web", "n1"), ("near", "n1"), ("far", "n2"))
    pair = one, two = w.monitors(("one", "n1"), ("two", "n3"))
    w.pool("ips", "spread", *pair)
    with contextlib.ExitStack() as stack:
        programs = [stack.enter_context(Inline((m, m), capture=os.path.join(w.lab.directory, f"pool-{m.name}"))) for m in pair]
        for p in programs:
            p.tell("pass")
        for peer in (near, far):
            for ends in ((web,), (web, peer)):
                with contextlib.ExitStack() as taps:
                    for end in ends:
                        taps.enter_context(w.redirected(end, "ips"))
                    title = f"{' and '.join(e.name for e in ends)} redirected, peer {peer.name}"
                    out, back, of = connections(web, peer)
                    at = copied(web, peer, out, back, *pair)
                    check.same(f"{title}: what web sent arrives once", out, at[peer].frames)
                    check.same(f"{title}: and what {peer.name} sent", back, at[web].frames)
                    where = places(check, title, of, at, pair)
                    check.equal(f"{title}: both have connections", {"one", "two"}, set(where.values()))
                    every = some(mixed(broadcast(peer), multicast(peer), broadcast(peer, dport=6001), udp(peer, web)), 40)
                    at = copied(web, peer, [], every, *pair)
                    check.same(f"{title}: broadcasts arrive once", every, at[web].frames)
                    check.same(f"{title}: broadcasts pass a member once", every, at[one].frames + at[two].frames)
                    programs[0].tell("drop")
                    at = copied(web, peer, out, back, *pair)
                    passed = [f for f in of if where[of[f]] == "two"]
                    check.same(f"{title}, one drops: the other's connections arrive", passed, at[web].frames + at[peer].frames)
                    programs[0].tell("pass")
        # A frame that the pool has with one member is not accepted from the other.
        with w.redirected(web, "ips") as tap:
            foreign = [f for f in out if where[of[f]] == "two"][:30]
            with Captures(web, near, far) as at:
                send(one, foreign)
                at.settle()
            check.none("what one member invents for the other's connections arrives nowhere", at[web].frames + at[near].frames + at[far].frames)
            w.lab.unplug(two)
            w.api.wait_state("taps", tap, "degraded", timeout=WAIT)
            at = copied(web, far, *connections(web, far)[:2], one)
            out, back, of = connections(web, far)
            check.same("one member unplugged: all goes through the other", out + back, at[one].frames)
            check.same("one member unplugged: and arrives", out + back, at[web].frames + at[far].frames)
            w.lab.unplug(one)
            w.api.wait_state("taps", tap, "degraded", timeout=WAIT, also=lambda t: "one" in t["status"]["reason"])
            w.at_rest()
            at = copied(web, far, out, back)
            check.none("both unplugged: nothing arrives", at[web].frames + at[far].frames)


def fail_open(w, check):
    """A redirect to a pool that fails open passes unmonitored when no member serves, and not before."""
    w.network("shop")
    web, near, far = w.vms("shop", ("web", "n1"), ("near", "n1"), ("far", "n2"))
    here, there = pair = w.monitors(("here", "n1"), ("there", "n3"))
    w.pool("ips", "spread", *pair)
    with contextlib.ExitStack() as stack:
        for m in pair:
            stack.enter_context(Inline((m, m), capture=os.path.join(w.lab.directory, f"open-{m.name}"))).tell("pass")
        tap = stack.enter_context(w.redirected(web, "ips", fail_mode="open"))

        def look(title, monitors, unmonitored=0):
            w.at_rest()
            for peer in (near, far):
                out, back, of = connections(web, peer)
                kinds = some(mixed(broadcast(peer), multicast(peer, v6=True), udp(peer, web)), 60, 5000)
                at = copied(web, peer, out, back + kinds, *pair)
                check.same(f"{title}: what web sent arrives once, peer {peer.name}", out, at[peer].frames)
                check.same(f"{title}: and what {peer.name} sent", back + kinds, at[web].frames)
                if monitors:
                    check.same(f"{title}: the members that serve have each frame once, peer {peer.name}", out + back + kinds, at[here].frames + at[there].frames)
                check.equal(f"{title}: who has frames, peer {peer.name}", {m.name for m in monitors}, {m.name for m in pair if at[m].frames})
            check.equal(f"{title}: contracts that pass unmonitored, by the metric", unmonitored, int(w.api.metric("flowtap_taps_unmonitored")))

        def degraded(*words):
            reason = w.api.wait_state("taps", tap, "degraded", timeout=WAIT, also=lambda t: all(x in t["status"]["reason"] for x in words))["status"]["reason"]
            check.that(f"the tap says so: {reason}", True)

        look("both serve", pair)
        for first, second in (pair, pair[::-1]):
            on = {m: m.node for m in pair}
            w.lab.unplug(first)
            degraded(first.name, "1 of 2")
            look(f"{first.name} unplugged: the other has it all", (second,))
            w.lab.unplug(second)
            degraded("unmonitored")
            look("both unplugged", (), 1)
            for m in (second, first):
                w.lab.plug(m, on[m])
                w.wait_port(m)
            w.api.wait_state("taps", tap, "active", timeout=WAIT)
            look("both plugged again", pair)


STORIES = [to_everyone, spread, through_a_pool, fail_open]
