"""Nobody else pays: ports without taps keep the very same megaflows, with and without taps elsewhere.

What a frame costs a userspace Open vSwitch is decided by its megaflow's mask. The traffic of
untapped ports must not be looked at any closer because another port of their network, on their
node, is tapped: neither what lives across the change, nor what comes afterwards. On nodes of two
bridges it is what comes afterwards alone.
"""

import re

from topo import run
from traffic import Captures, send
from world import arp_request, mixed, sending, some, tcp, udp

HTTP = "nw_proto=TCP; tp_dst=80"


def megaflows(lab, node, ports):
    """A node's megaflows for what the ports send and get from elsewhere: by match, masks included,
    the packets that each has carried."""
    found = {}
    own = "|".join(re.escape(p.mac) for p in ports)
    names = "|".join(re.escape(p.interface) for p in ports)
    for line in lab.appctl(node, "dpctl/dump-flows", "--names").splitlines():
        match, _, rest = line.strip().partition(", packets:")
        by = re.search(r"in_port\(([^)]*)\)", match)
        to = re.search(rf"eth\([^)]*dst=({own})", match)
        if by and (re.fullmatch(names, by[1]) or to and "tunnel(" in match):
            found[match] = int(rest.partition(",")[0])
    return found


def differences(before, after):
    """Lines - and + of two sets of megaflows by node; empty when they are equal."""
    return [f"{node} {sign} {line}" for node in before
            for sign, lines in (("-", before[node].keys() - after[node].keys()), ("+", after[node].keys() - before[node].keys()))
            for line in sorted(lines)]


def unicast(flows):
    """Only the megaflows of unicast frames.

    Broadcast is looked up after the MACs, so while a MAC's forwarding carries an epoch, broadcast
    megaflows of all networks look at it, too, and are made anew. They are few.
    """
    return {node: {m: n for m, n in found.items() if "dst=ff:ff:ff:ff:ff:ff" not in m} for node, found in flows.items()}


def made_anew(before, after):
    """Megaflows that have carried no more packets than before although their traffic came again: they went meanwhile."""
    return [f"{node} went and came back: {m}, {before[node][m]} packets, now {n}"
            for node in before for m, n in sorted(after[node].items()) if n <= before[node].get(m, -1)]


def count_of(flows):
    return sum(map(len, flows.values()))


class Bystanders:
    """Three untapped VMs on two nodes that talk to one another, next to a VM that will be tapped."""

    def __init__(self, w):
        self.w = w
        w.network("shop")
        w.network("quiet")
        self.web, self.near, self.far, *self.untapped = w.vms(
            "shop", ("web", "n1"), ("near", "n1"), ("far", "n2"), ("u1", "n1"), ("u2", "n1"), ("u3", "n2"))
        self.alone = w.vms("quiet", ("q1", "n1"), ("q2", "n1"), ("q3", "n2"))
        self.monitors = w.monitors(("here", "n1"), ("there", "n3"))
        self.ports = self.untapped + self.alone

    def batch(self):
        """Frames of every untapped VM to the others of its network: IPv4, IPv6, TCP to 80 and to others, UDP."""
        out = []
        for group in (self.untapped, self.alone):
            for a in group:
                for b in group:
                    if a is not b:
                        makers = (udp(a, b), udp(a, b, v6=True), tcp(a, b), tcp(a, b, v6=True), tcp(a, b, dport=81))
                        out.append((a, some(mixed(*makers), 2 * len(makers))))
        return out + [(a, some(arp_request(a, b), 3)) for a, b in zip(self.alone, self.alone[1:] + self.alone[:1])]

    def talk(self):
        """Send the batch, and wait until all of it has arrived: its megaflows are there."""
        with Captures(*self.ports) as at:
            for vm, frames in self.batch():
                send(vm, frames)
            at.settle(quiet=0.1)

    def dump(self, purge=False):
        """The untapped ports' megaflows by node, after their traffic; purge: in datapaths that start empty."""
        if purge:
            for node in ("n1", "n2"):
                self.w.lab.appctl(node, "revalidator/purge")
        self.talk()
        return {node: megaflows(self.w.lab, node, self.ports) for node in ("n1", "n2")}


def with_and_without_taps_elsewhere(w, check):
    """Before, during and after taps of another port of the same network and node."""
    b = Bystanders(w)
    for node in ("n1", "n2"):
        # On a busy machine one comparison can take longer than the 10 s after which idle megaflows go.
        run(w.lab.vsctl(node, "set open . other_config:max-idle=600000"))
    try:
        compare(w, check, b)
    finally:
        for node in ("n1", "n2"):
            run(w.lab.vsctl(node, "remove open . other_config max-idle"))


def compare(w, check, b):
    before = b.dump(purge=True)
    count = count_of(before)
    check.that(f"the untapped ports have megaflows to compare ({count})", count >= 12, before)
    for monitor in b.monitors:
        for direction, match in (("out", HTTP), ("in", HTTP), ("both", None)):
            title = f"tap {direction}, {match or 'everything'}, monitor on {monitor.node.name}"
            with sending(b.web, mixed(tcp(b.web, b.near), udp(b.web, b.far))), sending(b.far, tcp(b.far, b.web)):
                before = b.dump(purge=True)
                own = megaflows(w.lab, "n1", [b.web])
                with w.tapped(b.web, monitor, match, direction):
                    live = b.dump()
                    fresh = b.dump(purge=True)
                    own_tapped = megaflows(w.lab, "n1", [b.web])
                live_after = b.dump()
                after = b.dump(purge=True)
            # The counter-proof: where the tap has something to tell apart, this very comparison sees it.
            check.that(f"{title}: the tapped port's own megaflows are others than before", own.keys() != own_tapped.keys() or not match, own)
            lived = ("lived through the tap's coming", live, before), ("lived through the tap's going", live_after, fresh)
            # Of two bridges the whole bridge's are made anew once (docs/decisions/0010-two-bridges.md).
            for when, got, since in lived if w.lab.layout == "one-bridge" else ():
                left = differences(unicast(since), unicast(got)) + made_anew(unicast(since), unicast(got))
                check.that(f"{title}: the untapped ports' {count_of(unicast(got))} megaflows {when}", not left, "\n".join(left))
            for when, got in (("are new while the tap is there", fresh), ("are new after it", after)):
                left = differences(before, got)
                check.that(f"{title}: the untapped ports' {count_of(got)} megaflows that {when} are the same as before", not left, "\n".join(left))


STORIES = [with_and_without_taps_elsewhere]
