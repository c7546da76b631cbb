"""Every other kind of case that the property test on the simulated switch draws, on real Open vSwitch.

The oracle of the property test (flowtap/pipeline/oracle_test.go) says what must become of a frame;
these stories say it again for one example of each kind, with frames that were counted.
"""

import struct

import frames
from traffic import Captures, send
from world import WAIT, arp_request, broadcast, exact, mixed, multicast, ping, some, tcp, udp

HTTP = "tcp,tp_dst=80"
TO_ALL = "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00"
TO_EVERYONE = f"dl_dst={frames.BROADCAST}"


def exchange(check, title, batches, expected):
    """Send the batches of (VM, frames) one after another, and compare what each VM of expected got:
    {VM: (what that is, its frames)}."""
    with Captures(*expected) as at:
        for vm, batch in batches:
            send(vm, batch, rate=2000)
        settle(at, {vm: wanted for vm, (_, wanted) in expected.items()})
    for vm, (what, wanted) in expected.items():
        if wanted:
            check.same(f"{title}: {what}", wanted, at[vm].frames)
        else:
            check.none(f"{title}: {what}", at[vm].frames)


def settle(at, expected):
    """Wait for as many frames as each VM should get, and for what should not be there."""
    for vm, wanted in expected.items():
        at[vm].wait_for(len(wanted), timeout=2.0)
    at.settle(quiet=0.15)


def of(batch, wanted):
    return [f for f in batch if wanted(f)]


def is_broadcast(f):
    return f[:6] == b"\xff" * 6


def is_to_all(f):
    return bool(f[0] & 1)


def the_higher_priority_has_the_frame(w, check):
    """Of two contracts of one target that overlap, the higher one's monitor gets the frame and the other's does not."""
    w.network("shop")
    web, near, far = w.vms("shop", ("web", "n1"), ("near", "n1"), ("far", "n2"))
    high, low = w.monitors(("high", "n3"), ("low", "n1"))
    out = some(mixed(tcp(web, far), tcp(web, far, dport=81), tcp(web, near, v6=True), udp(web, near), broadcast(web)), 100)
    into = some(mixed(tcp(far, web, sport=80, dport=4000), udp(far, web), tcp(near, web, v6=True), broadcast(near)), 100, 1000)
    batches = [(web, out), (far, [f for f in into if f[6:12] == frames.mac(far.mac)]), (near, [f for f in into if f[6:12] == frames.mac(near.mac)])]
    everything = out + into
    http = of(everything, lambda f: frames.is_tcp(f, 80))
    rest = of(everything, lambda f: not frames.is_tcp(f, 80))
    low_tap = w.tap(web, low, priority=100)
    high_tap = w.tap(web, high, HTTP, priority=200)
    exchange(check, "HTTP at priority 200, everything at 100", batches,
             {high: ("the higher one's monitor gets HTTP, requests and replies", http), low: ("the other's gets the rest", rest)})
    w.untap(high_tap)
    exchange(check, "the higher one deleted", batches, {high: ("its monitor gets nothing", []), low: ("the other's gets everything", everything)})
    disabled = w.tap(web, high, HTTP, priority=200, enabled=False, state="disabled")
    exchange(check, "the higher one disabled", batches, {high: ("its monitor gets nothing", []), low: ("the other's gets everything", everything)})
    w.untap(disabled)
    w.untap(low_tap)
    w.tap(web, low, HTTP, priority=100)
    w.tap(web, high, priority=200)
    exchange(check, "everything at priority 200 hides HTTP at 100", batches,
             {high: ("the higher one's monitor gets everything", everything), low: ("the other's gets nothing", [])})


def the_higher_priority_has_the_broadcast(w, check):
    """So for broadcasts received, also where the higher one's monitor has the frame already."""
    w.network("shop")
    talker, near, far = w.vms("shop", ("talker", "n1"), ("near", "n1"), ("far", "n2"))
    high, low = w.monitors(("high", "n3"), ("low", "n2"))
    for to in (near, far):
        # Each frame once only: what reaches one of the two is what reaches the other.
        sent = some(mixed(broadcast(talker), multicast(talker), multicast(talker, v6=True), udp(talker, to)), 80)
        title = f"broadcasts at priority 500, multicasts at 300, of a receiver on {to.node.name}"
        got = {high: ("the higher one's monitor gets broadcasts", of(sent, is_broadcast)),
               low: ("the other's gets multicasts", of(sent, lambda f: is_to_all(f) and not is_broadcast(f)))}
        with w.tapped(to, high, TO_EVERYONE, "in", priority=500), w.tapped(to, low, TO_ALL, "in", priority=300):
            exchange(check, title, [(talker, sent)], got)
            with w.tapped(talker, high, TO_EVERYONE, "out"):
                exchange(check, f"{title}; the higher one's monitor has the sender's broadcasts already", [(talker, sent)], got)
        # A second receiver's contract is not hidden by the first one's priorities.
        other = far if to is near else near
        with w.tapped(to, high, TO_ALL, "in", priority=500), w.tapped(to, low, priority=300), w.tapped(other, low, TO_EVERYONE, "in"):
            exchange(check, f"two receivers, the one on {to.node.name} with a higher contract for all of them", [(talker, sent)],
                     {high: ("the higher one's monitor gets broadcasts and multicasts", of(sent, is_to_all)),
                      low: ("the other gets unicast, and the other receiver's broadcasts", of(sent, lambda f: is_broadcast(f) or not is_to_all(f)))})


def a_sender_does_not_receive(w, check):
    """A target's own broadcast is none of the frames that it receives; nor is what it sends to itself."""
    w.network("shop")
    web, near, far = w.vms("shop", ("web", "n1"), ("near", "n1"), ("far", "n2"))
    for monitor in w.monitors(("here", "n1"), ("there", "n3")):
        with w.tapped(web, monitor, direction="in"):
            own = some(mixed(broadcast(web), multicast(web), multicast(web, v6=True), arp_request(web, far), udp(web, web)), 40)
            for peer in (near, far):
                theirs = some(mixed(broadcast(peer), multicast(peer), udp(peer, web)), 30)
                exchange(check, f"the sender is the only target, monitor on {monitor.node.name}", [(web, own), (peer, theirs)],
                         {monitor: (f"copies of what {peer.name} sent, not of its own", theirs)})


def in_port_and_metadata(w, check):
    """Which port a frame came from, and that port's metadata, also of senders on another node."""
    w.network("shop")
    five = {"metadata": "0x5"}
    web, near, near2, far, far2 = w.vms("shop", ("web", "n1"), ("near", "n1", five), ("near2", "n1"), ("far", "n2", five), ("far2", "n2"))
    ids, = w.monitors(("ids", "n3"))
    peers = (near, near2, far, far2)
    theirs = {p: some(mixed(udp(p, web), tcp(p, web, v6=True), broadcast(p), arp_request(p, web)), 20, 100 * n) for n, p in enumerate(peers)}
    own = {p: some(mixed(udp(web, p), tcp(web, p, v6=True)), 20, 1000 + 100 * n) for n, p in enumerate(peers)}
    to_all = some(mixed(broadcast(web), multicast(web)), 10, 2000)
    batches = list(theirs.items()) + [(web, sum(own.values(), []) + to_all)]
    for match, direction, of_whom in (("in_port=near", "in", [near]), ("in_port=far", "in", [far]), ("metadata=0x5", "in", [near, far]),
                                      ("metadata=0", "in", [near2, far2]), ("metadata=0x4/0x6", "in", [near, far])):
        with w.tapped(web, ids, match, direction):
            exchange(check, f"match {match}, {direction}", batches, {ids: ("its senders' frames", sum((theirs[p] for p in of_whom), []))})
    for peer in (near, far):
        with w.tapped(web, ids, f"in_port={peer.name}", "both"):
            exchange(check, f"match in_port={peer.name}, both", batches, {ids: ("frames from and to that port", theirs[peer] + own[peer])})
        with w.tapped(peer, ids, "metadata=0x5", "out"):
            exchange(check, f"match metadata=0x5, out, of {peer.name} that has it", batches, {ids: ("what it sent", theirs[peer])})


class Host:
    """A machine behind a gateway: frames with its addresses come from and go to there."""

    def __init__(self, n):
        self.name, self.mac, self.ips = f"host{n}", f"02:77:00:00:00:{n:02x}", [f"10.7.0.{n}", f"fd07::{n:x}"]


def behind_a_gateway(w, check):
    """Unknown destinations go to the gateway only; any MAC may come from there."""
    w.network("shop")
    web, near, far, gate = w.vms("shop", ("web", "n1"), ("near", "n1"), ("far", "n2"), ("gate", "n2", {"kind": "gateway", "ips": []}), warm=False)
    w.warm([web, near, far])
    ids, gids = w.monitors(("ids", "n3"), ("gids", "n1"))
    one, two, nobody = Host(1), Host(2), Host(3)
    w.tap(web, ids)
    w.tap(gate, gids)
    for a in (web, far):
        sent = some(mixed(udp(a, one), tcp(a, two, v6=True), udp(a, nobody, size=frames.FULL), udp(a, one, vlan=9)), 40)
        exchange(check, f"{a.name} to unknown destinations, gateway on {gate.node.name}", [(a, sent)],
                 {gate: ("the gateway gets them", sent), near: ("a member gets none", []), (far if a is web else web): ("another gets none", []),
                  gids: ("the gateway's monitor gets one copy each", sent), ids: ("the sender's monitor", sent if a is web else [])})
        sent = some(mixed(broadcast(a), multicast(a), multicast(a, v6=True), arp_request(a, near)), 40)
        exchange(check, f"{a.name} to everyone", [(a, sent)],
                 {gate: ("the gateway gets them", sent), near: ("a member, too", sent),
                  gids: ("the gateway's monitor gets one copy each", sent), ids: ("web's monitor, too", sent)})
    behind = some(mixed(udp(one, web), tcp(two, web, v6=True), ping(one, web)), 40)
    exchange(check, "hosts behind the gateway to web", [(gate, behind)],
             {web: ("web gets them", behind), near: ("a member gets none", []), far: ("another gets none", []),
              ids: ("web's monitor gets one copy each", behind), gids: ("the gateway's, too", behind)})
    lost = some(mixed(udp(one, nobody), udp(two, nobody, v6=True), broadcast(two)), 40)
    exchange(check, "hosts behind the gateway to nobody known, and to everyone", [(gate, lost)],
             {web: ("a member gets each once", lost), near: ("another, too", lost), far: ("and one on the gateway's node", lost),
              ids: ("web's monitor gets one copy each", lost), gids: ("the gateway's, too", lost)})


def undeclared_addresses(w, check):
    """A port that declares no MAC or no IPs is learned from its frames, and cannot take another's."""
    w.network("shop")
    web, far = w.vms("shop", ("web", "n1"), ("far", "n2"))
    blank, late, noip = w.vms("shop", ("blank", "n1", {"undeclared": ("mac", "ips")}), ("late", "n2", {"undeclared": ("mac", "ips")}),
                              ("noip", "n1", {"undeclared": ("ips",)}), warm=False)
    ids, = w.monitors(("ids", "n3"))
    for port in (blank, noip):
        w.tap(port, ids, until_active=True)

    # Nobody knows its MAC: what is sent to it is flooded, what it sends is taken at its word.
    into = some(mixed(udp(far, blank), tcp(far, blank, v6=True)), 10)
    exchange(check, "to a port that has not spoken", [(far, into)],
             {blank: ("it gets every frame", into), web: ("and so do the others: its MAC is unknown", into),
              ids: ("its monitor gets one copy each, though two of its targets receive it", into)})
    ips = {}
    for port in (blank, noip):
        out = some(mixed(arp_request(port, far), udp(port, far), broadcast(port), tcp(port, web, v6=True), advert(port, far)), 40)
        exchange(check, f"the first frames of {port.name}", [(port, out)],
                 {far: ("arrive", of(out, lambda f: f[:6] != frames.mac(web.mac))), ids: ("are copied", of(out, lambda _: True))})
        learned = w.api.wait_state("ports", port.name, "active", timeout=WAIT, also=lambda p: len(p["status"].get("learned_ips", [])) == 2)
        ips[port] = sorted(learned["status"]["learned_ips"])
        check.equal(f"{port.name}'s IPs are learned", sorted(port.ips), ips[port])
        check.equal(f"{port.name}'s MAC is {'learned' if port is blank else 'the declared one'}", [port.mac] if port is blank else [],
                    learned["status"].get("learned_macs", []))
        exact(check, f"{port.name}, learned", port, far, ids, count=100)
    w.at_rest()
    into = some(udp(far, blank), 10, 500)
    exchange(check, "to a port whose MAC is learned", [(far, into)], {blank: ("it gets every frame", into), web: ("nobody else", [])})

    # Thieves: web's addresses are declared, blank's learned.
    payload = frames.numbered(1)
    stolen = []
    for victim in (web, blank):
        ip4, ip6 = victim.ips
        for thief in (late, noip):
            stolen += [(thief, [
                frames.udp(thief.mac, far.mac, ip4, far.ips[0], 1, 2, payload), frames.udp(thief.mac, far.mac, ip6, far.ips[1], 1, 2, payload),
                frames.arp(thief.mac, ip4, far.ips[0]), frames.arp(thief.mac, ip4, far.ips[0], op=2, dst_mac=far.mac),
                frames.neighbour_advertisement(thief.mac, far.mac, thief.ips[1], far.ips[1], ip6),
                frames.udp(victim.mac, far.mac, ip4, far.ips[0], 1, 2, payload), frames.udp(victim.mac, frames.BROADCAST, ip4, "255.255.255.255", 1, 2, payload),
                frames.ethernet(victim.mac, far.mac, 0x88B5, payload)] * 2)]
    exchange(check, "ports that declare nothing try the addresses of others, declared or learned", stolen,
             {far: ("none arrives", []), web: ("none is flooded", []), ids: ("none is copied", [])})
    for port in (late, noip):
        status = w.api.get("ports", port.name)["status"]
        check.equal(f"{port.name} has learned nothing by that", (ips.get(port, []), []),
                    (sorted(status.get("learned_ips", [])), [m for m in status.get("learned_macs", []) if m != port.mac]))
    back = some(mixed(udp(far, web), udp(far, blank)), 20, 700)
    exchange(check, "afterwards", [(far, back)], {web: ("web still gets its own", of(back, lambda f: f[:6] == frames.mac(web.mac))),
                                                  blank: ("and so does blank", of(back, lambda f: f[:6] == frames.mac(blank.mac)))})


def advert(a, b):
    """An advertisement of a's own IPv6 address; repeats are told apart by their count."""
    return lambda _n: frames.neighbour_advertisement(a.mac, b.mac, a.ips[1], b.ips[1], a.ips[1])


def unknown_unicast_is_flooded(w, check):
    """Without a gateway a frame to nobody known goes to everyone, once, and to a monitor once."""
    w.network("shop")
    web, near, far = w.vms("shop", ("web", "n1"), ("near", "n1"), ("far", "n2"))
    nobody = Host(9)
    sent = some(mixed(udp(web, nobody), tcp(web, nobody, v6=True), udp(web, nobody, size=frames.FULL)), 60)
    here, there = w.monitors(("here", "n1"), ("there", "n3"))
    for monitor, targets, direction in ((here, (far,), "in"), (here, (near, far), "in"), (there, (near,), "in"),
                                        (there, (near, far), "in"), (there, (web, near, far), "both")):
        taps = [w.tap(t, monitor, direction=direction) for t in targets]
        exchange(check, f"unknown unicast, {' and '.join(t.name for t in targets)} tapped to {monitor.name}", [(web, sent)],
                 {near: ("a member on the sender's node gets each once", sent), far: ("one on another node, too", sent),
                  web: ("the sender none", []), monitor: ("the monitor one copy each", sent)})
        for tap in taps:
            w.untap(tap)


def protocols_tags_and_fragments(w, check):
    """Matches on protocols, port ranges, tags and fragments, at the sender and at the receiver."""
    w.network("shop")
    web, far = w.vms("shop", ("web", "n1"), ("far", "n2"))
    at_sender, at_receiver = w.monitors(("sids", "n3"), ("rids", "n1"))
    kinds = frames_by_kind(web, far)
    batch = [f for kind in kinds.values() for f in kind]
    names = set(kinds)
    first, later = {"first fragment", "first fragment v6"}, {"later fragment", "last fragment", "later fragment v6", "last fragment v6"}
    fragments = first | later
    tagged = {"udp 5000, tag 42", "tcp 80, tag 5"}
    udps = {n for n in names if n.startswith("udp ")}
    cases = {
        "": names,
        "udp,tp_dst=1000-1999": udps - {"udp 999", "udp 2000", "udp 5000, tag 42", "udp v6 999"} | first,
        "udp,tp_dst=1500": {"udp 1500", "udp v6 1500"} | first,
        "udp,ip,tp_dst=1500,ip_frag=first": {"first fragment"},
        "ip_frag=first": first,
        "ip_frag=later": later,
        "ip,udp,ip_frag=later": {"later fragment", "last fragment"},
        "ip_frag=no": names - fragments - {"arp", "unknown ethertype"},
        "tcp": {n for n in names if n.startswith("tcp")},
        HTTP: {"tcp 80", "tcp v6 80", "tcp 80, tag 5"},
        "dl_vlan=42": {"udp 5000, tag 42"},
        "dl_vlan=5,tcp": {"tcp 80, tag 5"},
        "vlan_tci=0": names - tagged,
        "dl_vlan_pcp=3": {"udp 5000, tag 42"},
        "icmp": {"ping", "pong"},
        "icmp6": {"ping v6", "pong v6", "solicitation", "advertisement"},
        "icmp6,icmp_type=135": {"solicitation"},
        f"nd_target={far.ips[1]}": {"solicitation"},
        f"nd_tll={web.mac}": {"advertisement"},
        "arp,arp_op=1": {"arp"},
        "dl_type=0x88b5": {"unknown ethertype"},
    }
    for match, wanted in cases.items():
        copies = [f for name in kinds if name in wanted for f in kinds[name]]
        with w.tapped(web, at_sender, match, "out"), w.tapped(far, at_receiver, match, "in"), Captures(far, at_sender, at_receiver) as at:
            send(web, batch, rate=2000)
            settle(at, {far: batch, at_sender: copies, at_receiver: copies})
        check.same(f"match {match or 'everything'!r}, out: its frames and no others", copies, at[at_sender].frames)
        check.same(f"match {match or 'everything'!r}, in: its frames and no others", copies, at[at_receiver].frames)
        if not match:
            check.same("every kind arrives", batch, at[far].frames)


def frames_by_kind(a, b, each=3):
    """A few frames of every kind that matches tell apart, from a to b."""
    n = iter(range(100, 100_000))

    def some_of(make):
        return [make(next(n)) for _ in range(each)]

    def pieces(v6, which):
        """One of the three fragments of a datagram to port 1500."""
        def build(number):
            src, dst = a.ips[v6], b.ips[v6]
            data = frames.numbered(number, 1480)
            whole = frames.with_checksum(src, dst, frames.UDP, struct.pack("!HHHH", 4000, 1500, 8 + len(data), 0) + data, 6)
            offset, end = ((0, 600), (600, 1200), (1200, len(whole)))[which]
            return frames.fragment(a.mac, b.mac, src, dst, frames.UDP, whole[offset:end], offset, end < len(whole), number)
        return build

    kinds = {f"udp {port}": udp(a, b, dport=port) for port in (999, 1000, 1500, 1999, 2000)}
    kinds |= {f"udp v6 {port}": udp(a, b, v6=True, dport=port) for port in (999, 1500)}
    kinds |= {f"tcp{' v6' if v6 else ''} {port}": tcp(a, b, v6=v6, dport=port) for port in (80, 1500) for v6 in (False, True)}
    kinds |= {
        "udp 5000, tag 42": udp(a, b, vlan=42, pcp=3), "tcp 80, tag 5": tcp(a, b, vlan=5),
        "first fragment": pieces(0, 0), "later fragment": pieces(0, 1), "last fragment": pieces(0, 2),
        "first fragment v6": pieces(1, 0), "later fragment v6": pieces(1, 1), "last fragment v6": pieces(1, 2),
        "ping": ping(a, b), "pong": ping(a, b, reply=True), "ping v6": ping(a, b, v6=True), "pong v6": ping(a, b, v6=True, reply=True),
        "solicitation": lambda _n: frames.neighbour_solicitation(a.mac, a.ips[1], b.ips[1]), "advertisement": advert(a, b),
        "arp": arp_request(a, b), "unknown ethertype": lambda i: frames.ethernet(a.mac, b.mac, 0x88B5, frames.numbered(i, 60)),
    }
    return {name: some_of(make) for name, make in kinds.items()}


def tenants_with_the_same_addresses(w, check):
    """Copies of two networks with the same MACs and IPs never mix, and meet only at a monitor of both."""
    same = {n: {"mac": f"02:aa:00:00:00:0{n}", "ips": [f"10.9.0.{n}", f"fd09::{n}"]} for n in (1, 2, 3)}
    vms, sent, batches = {}, {}, []
    for tenant, first in (("red", 0), ("blue", 100_000)):
        w.network(tenant)
        one, two, three = vms[tenant] = w.vms(tenant, *((f"{tenant}{n}", node, same[n]) for n, node in ((1, "n1"), (2, "n1"), (3, "n2"))))
        out = some(mixed(udp(one, two), udp(one, three), tcp(one, three, v6=True), multicast(one), broadcast(one)), 50, first)
        into = some(mixed(udp(three, one), tcp(two, one, v6=True), broadcast(three)), 45, first + 1000)
        sent[tenant] = out + into
        batches += [(one, out), (two, [f for f in into if f[6:12] == frames.mac(two.mac)]), (three, [f for f in into if f[6:12] == frames.mac(three.mac)])]
    rids, bids, both = w.monitors(("rids", "n3"), ("bids", "n1"), ("both", "n3"))
    red, blue = vms["red"][0], vms["blue"][0]
    with w.tapped(red, rids):
        exchange(check, "one tenant tapped", batches, {rids: ("its monitor gets its frames", sent["red"]), bids: ("another none", [])})
        with w.tapped(blue, bids):
            exchange(check, "two tenants with the same addresses, a monitor each", batches,
                     {rids: ("red's monitor gets red's frames", sent["red"]), bids: ("blue's gets blue's", sent["blue"])})
    with w.tapped(red, both), w.tapped(blue, both):
        exchange(check, "two tenants with the same addresses, one monitor", batches, {both: ("it gets both tenants' frames", sent["red"] + sent["blue"])})
        with w.tapped(vms["red"][2], both), w.tapped(vms["blue"][2], both), w.tapped(vms["blue"][1], both):
            exchange(check, "and with several endpoints of each tapped to it", batches, {both: ("still one copy each", sent["red"] + sent["blue"])})


STORIES = [the_higher_priority_has_the_frame, the_higher_priority_has_the_broadcast, a_sender_does_not_receive, in_port_and_metadata,
           behind_a_gateway, undeclared_addresses, unknown_unicast_is_flooded, protocols_tags_and_fragments,
           tenants_with_the_same_addresses]
