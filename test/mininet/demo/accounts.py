"""Exact accounts of a span of time: what the VMs sent and received, and what the security VM got.

The two taps of the demo are everything of contract-update, and HTTP that reaches the database.
Frames are compared byte for byte and as multisets: the same ARP request sent twice counts twice.
"""

import time
from collections import Counter
from dataclasses import dataclass, field

import frames
from traffic import Capture

STILL = 0.3  # seconds without a frame anywhere after which nothing is on its way


class Span:
    """Records every frame that any VM sends or receives between begin and end.

    Both are moments of rest: the customers pause. Frames before and after do not count, so that
    none is on its way at either end.
    """

    def __init__(self, vms):
        self._captures = {vm.name: Capture(vm, outgoing=True) for vm in vms}
        self._first = self._last = None

    def begin(self):
        self._first = self._rest()

    def end(self):
        self._last = self._rest()
        for c in self._captures.values():
            c.stop()  # raises when the kernel dropped a frame of it

    def received(self, name):
        return Counter(s.frame for s in self._part(name) if not s.outgoing)

    def sent(self, name):
        return Counter(s.frame for s in self._part(name) if s.outgoing)

    def when(self, frame, moment):
        """When a frame was seen where, in milliseconds after the moment, as text."""
        seen = [(s.at, name, "left" if s.outgoing else "reached") for name in self._captures for s in self._part(name) if s.frame == frame]
        return ", ".join(f"{what} {name} at {(at - moment) * 1000:+.1f} ms" for at, name, what in sorted(seen))

    def _part(self, name):
        return self._captures[name].seen[self._first[name]:self._last[name]]

    def _rest(self, timeout=10.0):
        """Wait for rest, and return how many frames each capture has then."""
        deadline, before = time.monotonic() + timeout, None
        while time.monotonic() < deadline:
            now = {name: len(c.seen) for name, c in self._captures.items()}
            if now == before:
                return now
            before = now
            time.sleep(STILL)
        raise TimeoutError(f"the VMs do not come to rest in {timeout} s while the customers pause")


@dataclass
class Account:
    """The outcome. Numbers are frames."""

    out_sent: int = 0  # by contract-update
    out_arrived: int = 0  # at the VM that they were for; a broadcast arrives once
    in_sent: int = 0  # for contract-update, by the others
    in_arrived: int = 0
    http_arrived: int = 0  # HTTP, at the database
    copies: int = 0  # at the security VM
    copied_lost: int = 0  # copies of frames that were lost after they had been copied
    missing: list = field(default_factory=list)  # arrived, and not copied
    doubled: list = field(default_factory=list)  # copied more often than sent
    foreign: list = field(default_factory=list)  # copies of what no tap asks for, or altered
    forged: list = field(default_factory=list)  # arrived, and not sent like that

    def problems(self, span, moment):
        """What is wrong, as lines; times are from the moment on (time.monotonic())."""
        lines = []
        for what in ("missing", "doubled", "foreign", "forged"):
            found = getattr(self, what)
            for f in found[:4]:
                lines += [f"{what}: {frames.describe(f)}", f"    {span.when(f, moment)}"]
            lines += [f"{what}: {len(found) - 4} more"] if len(found) > 4 else []
        return lines


def settle_accounts(span, target, database, monitor, peers, port=80):
    """Compare. target, database and monitor are VMs; peers all other VMs but the monitor."""
    own = frames.mac(target.mac)
    others = {vm.name: (span.sent(vm.name), span.received(vm.name)) for vm in [database, *peers]}
    target_sent, target_received = span.sent(target.name), span.received(target.name)
    sent = sum((s for s, _ in others.values()), target_sent)  # by anyone
    a = Account(out_sent=target_sent.total())

    arrived = Counter()  # of the taps' flows: each copied at least so often
    possible = Counter(target_sent)  # and at most so often
    for _, received in others.values():
        arrived |= Counter({f: n for f, n in received.items() if f[6:12] == own})
    a.out_arrived = arrived.total()
    for_target = Counter({f: n for f, n in sent.items() if f[6:12] != own and (f[0:6] == own or f[0] & 1)})
    a.in_sent, a.in_arrived = for_target.total(), target_received.total()
    arrived |= target_received
    possible |= for_target
    http = Counter({f: n for f, n in others[database.name][1].items() if frames.is_tcp(f, port)})
    a.http_arrived = http.total()
    arrived |= http
    possible |= Counter({f: n for f, n in sent.items() if f[0:6] == frames.mac(database.mac) and frames.is_tcp(f, port)})

    copies = span.received(monitor.name)
    a.copies = copies.total()
    a.forged = list((arrived - sent).elements())
    a.missing = list((arrived - copies).elements())
    a.doubled = list(Counter({f: n - possible[f] for f, n in copies.items() if n > possible[f] > 0}).elements())
    a.foreign = list(Counter({f: n for f, n in copies.items() if possible[f] == 0}).elements())
    a.copied_lost = ((copies & possible) - arrived).total()
    return a
