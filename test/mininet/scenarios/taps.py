"""A tap gives its monitor every frame of its flow exactly once, unmodified, and nothing else."""

import struct
from collections import Counter

import frames
import kernel
import ofdump
from traffic import Captures, send
from world import WAIT, arp_request, broadcast, mixed, multicast, ping, sending, some, tcp, udp


def to_a_node_no_tunnel_was_used_to(w, check):
    """The first frame after `active` is copied, also when nothing was ever sent to that node."""
    w.network("shop")
    web, far = w.vms("shop", ("web", "n1"), ("far", "n2"))
    cold, = w.monitors(("cold", "n4"))
    # Else the revalidators, translating old megaflows anew, would resolve the tunnel by the way.
    w.lab.appctl("n1", "revalidator/purge")
    with Captures(cold) as at:
        w.tap(web, cold, direction="out", until_active=True)
        sent = send(web, some(udp(web, far), 20))
        at.settle()
    check.same("the first frame after active is copied to a node that no tunnel was used to before", sent, at[cold].frames)


def every_kind_of_frame(w, check):
    """Local and remote monitor, peer on the same and on another node, direction in, out and both."""
    w.network("shop")
    web, near, far = w.vms("shop", ("web", "n1"), ("near", "n1"), ("far", "n2"))
    here, there = w.monitors(("here", "n1"), ("there", "n3"))
    before = w.at_rest()
    for monitor, where in ((here, "local monitor"), (there, "remote monitor")):
        for direction in ("in", "out", "both"):
            for peer in (near, far):
                with w.tapped(web, monitor, direction=direction), Captures(web, near, far, here, there) as at:
                    with sending(peer, every_kind(peer, web)) as inwards, sending(web, every_kind(web, peer)) as outwards:
                        outwards.wait_sent(280)
                        inwards.wait_sent(280)
                        outwards.stop()
                        inwards.stop()
                    at.settle()
                out, into = outwards.sent, inwards.sent
                title = f"{direction}, {where}, peer on {peer.node.name}"
                check.same(f"{title}: what the VM sent reached its peer", out, at[peer].frames)
                check.same(f"{title}: what the peer sent reached the VM", into, at[web].frames)
                expected = (out if direction != "in" else []) + (at[web].frames if direction != "out" else [])
                for kind in KINDS:
                    check.same(f"{title}: copies of {kind}", [f for f in expected if kind_of(f) == kind],
                               [f for f in at[monitor].frames if kind_of(f) == kind])
                check.none(f"{title}: nothing at the other monitor", at[there if monitor is here else here].frames)
    same_switches(check, "after these taps are deleted", before, w.lab.snapshot())


def both_endpoints_at_one_monitor(w, check):
    """Two taps see the same frame; their monitor gets one copy of it."""
    w.network("shop")
    web, near, far = w.vms("shop", ("web", "n1"), ("near", "n1"), ("far", "n2"))
    here, there, with_far = w.monitors(("here", "n1"), ("there", "n3"), ("withfar", "n2"))
    for monitor in (here, there, with_far):
        for peer in (near, far):
            with w.tapped(web, monitor), w.tapped(peer, monitor), Captures(web, peer, monitor) as at:
                with sending(peer, every_kind(peer, web)) as inwards, sending(web, every_kind(web, peer)) as outwards:
                    outwards.wait_sent(200)
                    inwards.wait_sent(200)
                    outwards.stop()
                    inwards.stop()
                at.settle()
            check.same(f"both endpoints ({web.node.name}, {peer.node.name}) tapped to one monitor on {monitor.node.name}: one copy each",
                       outwards.sent + inwards.sent, at[monitor].frames)
    # The endpoints' own monitors differ: each gets its copy.
    with w.tapped(web, here), w.tapped(far, there), Captures(here, there) as at:
        sent = send(web, some(every_kind(web, far), 120))
        at.settle()
    for monitor in (here, there):
        check.same(f"endpoints tapped to two monitors: one copy at {monitor.name}", sent, at[monitor].frames)


def one_copy_of_a_broadcast_with_two_receivers(w, check):
    """A broadcast that two tapped VMs receive is one frame: one copy."""
    w.network("shop")
    talker, near, far, alone = w.vms("shop", ("talker", "n1"), ("near", "n1"), ("far", "n2"), ("alone", "n2"))
    here, there = w.monitors(("here", "n1"), ("there", "n3"))
    to_all = mixed(broadcast(talker), multicast(talker), multicast(talker, v6=True), arp_request(talker, far))
    for monitor in (here, there):
        for title, pair in (("on the sender's node and on another", (near, far)), ("both on another node", (far, alone)),
                            ("one of them the sender", (talker, far))):
            with w.tapped(pair[0], monitor), w.tapped(pair[1], monitor), Captures(monitor, *pair) as at:
                sent = send(talker, some(to_all, 120))
                at.settle()
            check.same(f"broadcast to two tapped VMs, {title}: one copy at the monitor on {monitor.node.name}", sent, at[monitor].frames)


def nothing_outside_the_flow(w, check):
    """A match takes its frames and no other."""
    w.network("shop")
    web, far = w.vms("shop", ("web", "n1"), ("far", "n2"))
    ids, = w.monitors(("ids", "n3"))

    def port(a, b, n, sport, dport, v6=False, make=tcp):
        return make(a, b, v6=v6, sport=sport, dport=dport)(n)

    def traffic(a, b, first):
        """All combinations of 80 and 81 as ports, of TCP and UDP, of IPv4 and IPv6; and others."""
        batch, n = [], first
        for v6 in (False, True):
            for make in (tcp, udp):
                for sport, dport in ((4000, 80), (80, 4000), (4000, 81), (81, 80), (80, 80)):
                    for _ in range(5):
                        batch.append(port(a, b, n, sport, dport, v6, make))
                        n += 1
            batch += some(ping(a, b, v6), 5, n)
        return batch + some(mixed(broadcast(a), arp_request(a, b), multicast(a, v6=True)), 15, n + 10)

    out, into = traffic(web, far, 0), traffic(far, web, 10_000)

    def tcp_with(dport=None, sport=None, v6=None):
        def wanted(f):
            kind, = struct.unpack_from("!H", f, 12)
            if v6 is not None and (kind == 0x86DD) != v6 or not frames.is_tcp(f):
                return False
            got_sport, got_dport = struct.unpack_from("!HH", f, 54 if kind == 0x86DD else 34)
            return dport in (None, got_dport) and sport in (None, got_sport)
        return wanted

    to_80, from_80 = tcp_with(dport=80), tcp_with(sport=80)
    either = lambda f: to_80(f) or from_80(f)  # noqa: E731
    never = lambda _f: False  # noqa: E731
    cases = [  # match, direction, which of the frames sent, which of the frames received
        ("nw_proto=TCP; tp_dst=80", "out", to_80, never),
        ("nw_proto=TCP; tp_dst=80", "in", never, to_80),
        ("nw_proto=TCP; tp_dst=80", "both", either, either),
        ({"nw_proto": "TCP", "tp_dst": 80, "dl_type": "0x86dd"}, "out", tcp_with(dport=80, v6=True), never),
        ("dl_type=0x0806", "out", lambda f: f[12:14] == b"\x08\x06", never),
        (f"dl_dst={frames.BROADCAST}", "out", lambda f: f[:6] == b"\xff" * 6, never),
    ]
    for match, direction, sent_ones, received_ones in cases:
        with w.tapped(web, ids, match, direction), Captures(web, ids) as at:
            send(web, out)
            send(far, into)
            at.settle()
        expected = [f for f in out if sent_ones(f)] + [f for f in at[web].frames if received_ones(f)]
        check.same(f"match {match}, {direction}: its frames and no others", expected, at[ids].frames)

    with Captures(ids) as at:
        send(web, out)
        at.settle()
    check.none("without a tap, nothing", at[ids].frames)
    disabled = w.tap(web, ids, enabled=False, wait=WAIT, state="disabled")
    with Captures(ids) as at:
        send(web, out)
        at.settle()
    check.none("from a disabled tap, nothing", at[ids].frames)
    w.untap(disabled)


def an_open_connection(w, check):
    """A TCP connection of real kernels, open before the tap, is mirrored from its next segment."""
    w.network("shop")
    client, server = w.vms("shop", ("client", "n1"), ("server", "n2"), quiet=False)
    ids, = w.monitors(("ids", "n3"))
    for v6 in (False, True):
        with kernel.Connection(client, server, 80, v6) as connection:
            connection.transfer(100_000)
            with Captures(client, ids, outgoing=True) as at:
                at.settle()  # late acknowledgements of the old data
                id = w.tap(client, ids)
                start = len(at[client].seen)
                whole = connection.transfer(300_000)
                at.settle()
                truth = [s.frame for s in at[client].seen[start:]]
            check.that("the transfer was whole", whole)
            check.same(f"an open connection over {'IPv6' if v6 else 'IPv4'} is mirrored from its next segment, both directions",
                       truth, surplus_removed(at[ids].frames, [s.frame for s in at[client].seen[:start]], truth))
            w.untap(id)


def surplus_removed(got, before, truth):
    """Copies less those of frames from before `active`: such a frame may be copied, once."""
    allowed = Counter(before)
    surplus = Counter(got) - Counter(truth)
    drop = surplus & allowed
    kept = []
    for frame in got:
        if drop[frame] > 0:
            drop[frame] -= 1
        else:
            kept.append(frame)
    return kept


def made_and_deleted_under_traffic(w, check, rounds=10):
    """Ten rounds under 1,000 frames a second each way; every boundary is exact.

    Frames sent after `active` and received by their receiver before DELETE is called are copied.
    Frames received before POST is called or sent after DELETE has returned are not. The others
    may be copied, once. That is for each of two taps with other monitors, other directions and
    overlapping lives.
    """
    w.network("shop")
    web, near, far = w.vms("shop", ("web", "n1"), ("near", "n1"), ("far", "n2"))
    here, there = w.monitors(("here", "n1"), ("there", "n3"))
    before = w.at_rest()
    kinds = mixed(udp(web, far), tcp(web, far), udp(web, far, v6=True), multicast(web, v6=True))
    back = mixed(udp(far, web), tcp(far, web, dport=4000, sport=80), broadcast(far))
    lives = []
    with Captures(web, far, here, there) as at:
        with sending(web, kinds) as out, sending(far, back) as into:
            flows = {"out": (out, at[far]), "in": (into, at[web])}
            out.wait_sent(100)
            into.wait_sent(100)
            for n in range(rounds):
                life = Life(w, flows, web, there, ("both", "out", "in")[n % 3])
                other = Life(w, flows, far, here, "out", seen_as="in")
                life.begin()
                out.wait_more(40)
                if n % 2:
                    other.begin()
                out.wait_more(40)
                into.wait_more(40)
                life.end()
                if n % 2:
                    out.wait_more(20)
                    other.end()
                    lives.append(other)
                lives.append(life)
            out.wait_more(60)
            out.stop()
            into.stop()
        at.settle()
        check.same("under taps that come and go, every frame reached its receiver", out.sent, at[far].frames)
        check.same("and so in the other direction", into.sent, at[web].frames)
        for monitor in (here, there):
            for direction, (sender, _) in flows.items():
                problems = boundaries([l for l in lives if l.monitor is monitor], direction, sender.sent, at[monitor].frames,
                                      {"out": web, "in": far}[direction])
                check.that(f"{rounds} rounds, frames {direction} of web, monitor on {monitor.node.name}: every boundary exact",
                           not problems, problems)
    after = w.lab.snapshot()
    same_switches(check, f"after {rounds} rounds", before, after)


class Life:
    """One tap's life, in numbers of frames: may begin, must begin, must end, may end."""

    def __init__(self, w, flows, target, monitor, direction, seen_as=None):
        self.w, self.flows, self.target, self.monitor, self.direction = w, flows, target, monitor, direction
        self.concerns = {"both": ("out", "in")}.get(direction, (seen_as or direction,))
        self.marks = {d: [] for d in self.concerns}
        self.id = None

    def begin(self):
        self._mark_received()
        self.id = self.w.tap(self.target, self.monitor, direction=self.direction)
        self._mark_sent()

    def end(self):
        self._mark_received()
        self.w.untap(self.id)
        self._mark_sent()

    def _mark_sent(self):
        for d in self.concerns:
            self.marks[d].append(self.flows[d][0].next)

    def _mark_received(self):
        for d in self.concerns:
            numbers = [frames.number(f) for f in self.flows[d][1].frames[-20:]]
            self.marks[d].append(max(n for n in numbers if n is not None) + 1)


def boundaries(lives, direction, sent, copies, sender, most=12):
    """What is wrong with the copies of one direction's frames, as text; empty when nothing is."""
    own = frames.mac(sender.mac)
    got = Counter(f for f in copies if f[6:12] == own)
    spans = [l.marks[direction] for l in lives if direction in l.marks]
    problems = []
    for n, frame in enumerate(sent):
        copied = got.pop(frame, 0)
        must = any(active <= n < deleting for _, active, deleting, _ in spans)
        may = any(posting <= n < deleted for posting, _, _, deleted in spans)
        if must and copied != 1 or not must and copied > may:
            where = "in" if must else "around" if may else "outside"
            problems.append(f"frame {n} {where} a tap's life was copied {copied} times")
    problems += [f"not as it was sent: {frames.describe(f)}" for f in got]
    if problems:
        problems = [f"lives (posting, active, deleting, deleted): {spans}", f"{len(problems)} frames"] + problems
        if len(problems) > most:
            problems = problems[:most - 1] + ["...", problems[-1]]
    return "\n".join(problems)


def same_switches(check, when, before, after):
    """The promise that nothing of a deleted tap stays on any switch."""
    left = ofdump.difference(before, after)
    check.that(f"{when}, flows and groups of every node are what they were before the first", not left, "\n".join(left))


# Kinds of frames, and telling them apart again.

KINDS = ["unicast", "full-size frames", "ARP", "VLAN-tagged frames", "IPv4 multicast", "IPv6 multicast", "broadcast"]


def every_kind(a, b):
    return mixed(udp(a, b), udp(a, b, v6=True), tcp(a, b), tcp(a, b, v6=True), ping(a, b), ping(a, b, v6=True),
                 udp(a, b, size=frames.FULL), udp(a, b, v6=True, size=frames.FULL), tcp(a, b, size=frames.FULL),
                 arp_request(a, b), udp(a, b, vlan=42, pcp=3), multicast(a), multicast(a, v6=True), broadcast(a))


def kind_of(frame):
    kind = frame[12:14]
    if kind == b"\x08\x06":
        return "ARP"
    if kind == b"\x81\x00":
        return "VLAN-tagged frames"
    if frame[:6] == b"\xff" * 6:
        return "broadcast"
    if frame[0] & 1:
        return "IPv6 multicast" if kind == b"\x86\xdd" else "IPv4 multicast"
    return "full-size frames" if len(frame) >= frames.FULL else "unicast"


STORIES = [to_a_node_no_tunnel_was_used_to, every_kind_of_frame, both_endpoints_at_one_monitor,
           one_copy_of_a_broadcast_with_two_receivers, nothing_outside_the_flow, an_open_connection, made_and_deleted_under_traffic]
