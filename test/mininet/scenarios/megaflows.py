"""Nobody else pays: ports without taps keep the very same megaflows, with and without taps elsewhere.

What a frame costs a userspace Open vSwitch is decided by its megaflow's mask. The traffic of
untapped ports must not be looked at any closer because another port of their network, on their
node, is tapped: as long as it lives across the change, and as new traffic finds it afterwards.
"""

import re

from traffic import send
from world import arp_request, mixed, sending, some, tcp, udp

HTTP = "nw_proto=TCP; tp_dst=80"


def megaflows(lab, node, ports):
    """The matches, masks included, of a node's megaflows for what the ports send and get from
    elsewhere: a set of texts without counters, ages and actions."""
    found = set()
    own = "|".join(re.escape(p.mac) for p in ports)
    names = "|".join(re.escape(p.interface) for p in ports)
    for line in lab.appctl(node, "dpctl/dump-flows", "--names").splitlines():
        match = re.sub(r", packets:.*", "", line).strip()
        by = re.search(r"in_port\(([^)]*)\)", match)
        to = re.search(rf"eth\([^)]*dst=({own})", match)
        if by and (re.fullmatch(names, by[1]) or to and "tunnel(" in match):
            found.add(match)
    return found


def differences(before, after):
    """Lines - and + of two sets by node; empty when they are equal."""
    return [f"{node} {sign} {line}" for node in before
            for sign, lines in (("-", before[node] - after[node]), ("+", after[node] - before[node])) for line in sorted(lines)]


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
        for vm, frames in self.batch():
            send(vm, frames, rate=2000)

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
    before = b.dump(purge=True)
    count = sum(map(len, before.values()))
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
            check.that(f"{title}: the tapped port's own megaflows are others than before", own != own_tapped or not match, own)
            for when, got in (("lived through the tap's coming", live), ("are new while the tap is there", fresh),
                              ("lived through the tap's going", live_after), ("are new after it", after)):
                left = differences(before, got)
                check.that(f"{title}: the untapped ports' {sum(map(len, got.values()))} megaflows that {when} are the same", not left, "\n".join(left))


STORIES = [with_and_without_taps_elsewhere]
