"""What hurt the users of other systems: a story for each, named after what it guards against.

Their reports are named in the stories' first lines. Policies that act on new facts only, and never withdraw
what they did, are not here: there are no policies yet.
"""

import re
import struct
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import frames
import kernel
from inline import Inline
from scenarios import dhcp, kinds, migration, restart, taps
from topo import run
from traffic import Captures, send
from world import WAIT, arp_request, broadcast, exact, mixed, multicast, sending, some, tcp, udp


def old_connections_are_mirrored(w, check):
    """Connections that were open before the mirror came were not mirrored (kube-ovn#2801)."""
    taps.an_open_connection(w, check)


def no_arp_storm_by_the_return_port(w, check):
    """An inline appliance gave ARP back, and it went round for ever; once more after Open vSwitch restarted (antrea#3850, #4318)."""
    w.network("shop")
    client, server, other = w.vms("shop", ("client", "n1", {"ips": [dhcp.LEASE]}), ("server", "n2", {"ips": ["10.0.0.2"]}), ("other", "n1"), warm=False)
    run(dhcp.netns.inside(server.pid, "ip", "addr", "add", "10.0.0.2/24", "dev", "eth0"))
    ids, back = w.monitors(("ids", "n3"), ("back", "n3"))
    w.api.replace("ports", "ids", {"id": "ids", "kind": "monitor", "return_port": "back"})
    requests = mixed(arp_request(client, server), lambda n: frames.arp(client.mac, "0.0.0.0", f"10.0.9.{n % 200}"))
    with dhcp.Server(w, server, client):
        tap = w.redirect(client, ids)
        for title in ("", ", after ovs-vswitchd of the appliance's node restarted"):
            if title:
                w.lab.restart_vswitchd("n3")
                w.wait_connected()
                for vm in (ids, back):
                    w.wait_port(vm)
                w.wait_tap(tap, client, ids)
            with Inline((ids, back)), Captures(client, server, other, ids, back, outgoing=True) as at:
                check.equal(f"a lease is obtained through the appliance{title}", dhcp.LEASE, dhcp.ask(w, client))
                send(client, some(requests, 40))
                at.settle(quiet=1.0)  # a storm would go on
            sent, answers = at[client].sent, at[server].sent
            check.same(f"the appliance has each frame once{title}", sent + answers, at[ids].frames)
            check.same(f"the server gets each once{title}", sent, at[server].frames)
            check.same(f"bystanders get each broadcast once{title}", [f for f in sent + answers if f[0] & 1], at[other].frames)
            check.same(f"the client gets the answers, and nothing of its own{title}", answers, at[client].frames)
            check.none(f"nothing goes to the port by which the appliance gives back{title}", at[back].frames)


def broadcast_is_copied_exactly_once(w, check):
    """Broadcast was mirrored twice, thrice or never; with two mirrored ports there were no copies or two (faucet#1537, #2153)."""
    w.network("shop")
    talker, near, far = w.vms("shop", ("talker", "n1"), ("near", "n1"), ("far", "n2"))
    here, there = w.monitors(("here", "n1"), ("there", "n3"))
    sent = some(mixed(broadcast(talker), multicast(talker), multicast(talker, v6=True), arp_request(talker, far)), 80)
    everyone = {near: ("a receiver gets each once", sent), far: ("and one elsewhere", sent), talker: ("the sender none", [])}
    for monitor, other in ((here, there), (there, here)):
        for tapped in ((talker,), (far,), (talker, far), (near, far), (talker, near, far)):
            made = [w.tap(vm, monitor) for vm in tapped]
            kinds.exchange(check, f"{' and '.join(t.name for t in tapped)} mirrored to {monitor.name}", [(talker, sent)],
                           {monitor: ("one copy of each", sent), other: ("none at another monitor", []), **everyone})
            for tap in made:
                w.untap(tap)
    w.tap(talker, here)
    w.tap(far, there)
    kinds.exchange(check, "two ports mirrored to two monitors", [(talker, sent)], {here: ("one copy of each", sent), there: ("and at the other", sent), **everyone})


def tenants_with_equal_macs_do_not_mix(w, check):
    """A mirror of what a port receives matched its MAC alone: no broadcast, and other tenants' frames (TaaS LP#1529595)."""
    kinds.tenants_with_the_same_addresses(w, check)


def restarts_in_any_order_lose_no_tap(w, check):
    """A restart replayed only what the monitor's host knew, and a failed replay deleted the mirror (TaaS)."""
    w.network("shop")
    web, far = w.vms("shop", ("web", "n1"), ("far", "n2"))
    ids, ips = w.monitors(("ids", "n3"), ("ips", "n3"))
    copied, redirected = w.tap(web, ids), w.redirect(far, ips, "udp,tp_dst=7", "in", priority=200)
    objects, switches = restart.wanted(w), w.at_rest()
    for order in (("n3", "flowtapd", "n1", "n2"), ("n2", "n1", "flowtapd", "n3"), ("flowtapd", "n3", "n2", "n1")):
        title = f"{', '.join(order)} restarted"
        for one in order:
            if one == "flowtapd":
                w.flowtapd.kill()
                w.flowtapd.start()
            else:
                w.lab.restart_vswitchd(one)
        w.wait_connected()
        left = restart.settled(w, switches)
        check.that(f"{title}: the switches hold what they held", not left, "\n".join(left))
        for vm in (web, far, ids, ips):
            w.wait_port(vm)
        w.wait_tap(copied, web, ids)
        w.wait_tap(redirected, far, ips)
        check.equal(f"{title}: every object is there", objects, restart.wanted(w))
        w.warm([web, far])
        exact(check, title, web, far, ids, count=60)


def deleted_ports_and_switches_leave_no_mirror(w, check):
    """A port or a switch was deleted, and mirrors stayed behind (TaaS LP#1814937, skydive#1708, open-kilda#4488)."""
    w.network("shop")
    web, far = w.vms("shop", ("web", "n1"), ("far", "n2"))
    ids, = w.monitors(("ids", "n3"))
    before = w.at_rest()
    extra, = w.vms("shop", ("extra", "n2"))
    there, = w.monitors(("there", "n4"))

    def mirrored():
        return [w.tap(extra, there), w.tap(web, there), w.tap(extra, ids, "tcp,tp_dst=80", priority=200), w.redirect(web, there, "udp,tp_dst=7", priority=300)]

    made = mirrored()
    for vm in (extra, there):  # their ports vanish from under their mirrors
        w.lab.unplug(vm)
    for tap in made:
        w.api.wait_state("taps", tap, "pending", "degraded", timeout=WAIT)
        w.untap(tap)
    for vm in (extra, there):
        w.api.delete("ports", vm.name, wait=WAIT)
    taps.same_switches(check, "a port and a monitor vanished and were deleted", before, w.at_rest())

    for body in ({"id": "extra", "network": "shop", "mac": extra.mac, "ips": extra.ips}, {"id": "there", "kind": "monitor"}):
        w.api.create("ports", body)
    for vm, node in ((extra, "n2"), (there, "n4")):
        w.lab.plug(vm, node)
        w.wait_port(vm)
    made = mirrored()
    for node in ("n2", "n4"):  # the switches are out of reach while it is deleted
        run(w.lab.vsctl(node, *(f"del-controller {b}" for b in w.lab.node(node).bridges)))
        w.api.wait_state("nodes", node, "disconnected", timeout=WAIT)
    for tap in made:
        w.api.delete("taps", tap)
    for vm in (extra, there):
        w.api.delete("ports", vm.name)
    for node in ("n2", "n4"):
        run(w.lab.vsctl(node, *w.lab.node(node).controller_transactions(f"tcp:{w.lab.openflow_addr}")))
    w.wait_connected()
    left = restart.settled(w, before)
    check.that("deleted while the switches were out of reach: nothing is left on them", not left, "\n".join(left))


def a_killed_controller_makes_nothing_dark(w, check):
    """Flows or groups were lost, and seconds of traffic, when the agent restarted (antrea#297, #2134, ovn#247)."""
    w.network("shop")
    web, far = w.vms("shop", ("web", "n1"), ("far", "n2"))
    ids, ips = w.monitors(("ids", "n3"), ("ips", "n4"))
    tap, redirect = w.tap(web, ids), w.redirect(far, ips)
    with Inline((ips, ips)), Captures(web, far, ids, ips) as at:
        with sending(web, mixed(udp(web, far), multicast(web, v6=True))) as out, sending(far, mixed(udp(far, web), tcp(far, web, v6=True))) as into:
            for _ in range(2):
                out.wait_more(300)
                w.flowtapd.kill()
                out.wait_more(300)
                w.flowtapd.start()
            w.wait_connected()
            w.wait_tap(tap, web, ids)
            w.wait_tap(redirect, far, ips)
            out.wait_more(600)
            out.stop()
            into.stop()
        at.settle()
    check.same("killed twice: every frame arrived, once", out.sent, at[far].frames)
    check.same("and so the other way", into.sent, at[web].frames)
    check.same("every one was copied, once", out.sent + into.sent, at[ids].frames)
    check.same("every one passed the inline monitor, once", out.sent + into.sent, at[ips].frames)


def both_directions_meet_at_one_monitor(w, check):
    """The two directions of a connection never met at one IDS (antrea#6957)."""
    w.network("shop")
    web, far = w.vms("shop", ("web", "n1"), ("far", "n2"))
    pool = w.monitors(("ids1", "n1"), ("ids2", "n2"), ("ids3", "n3"))
    w.api.create("pools", {"id": "ids", "mode": "spread", "members": [{"port": m.name, "weight": 1} for m in pool]})
    w.api.create("taps", {"id": "spread", "src": "web", "dst_pool": "ids", "action": "forward"}, wait=WAIT)
    w.api.wait_state("taps", "spread", "active", timeout=WAIT)
    connections = [(make, v6, port) for port in range(20000, 20060) for make in (tcp, udp) for v6 in (False, True)]
    out = [make(web, far, v6=v6, sport=port, dport=80)(n) for n, (make, v6, port) in enumerate(connections)]
    into = [make(far, web, v6=v6, sport=80, dport=port)(1000 + n) for n, (make, v6, port) in enumerate(connections)]
    with Captures(*pool) as at:
        send(web, out)
        send(far, into)
        at.settle()
    got = {m: {frames.number(f) for f in at[m].frames} for m in pool}
    check.same("the pool has one copy of each frame", out + into, [f for m in pool for f in at[m].frames])
    apart = [c for n, c in enumerate(connections) if not any({n, 1000 + n} <= g for g in got.values())]
    check.that(f"both directions of each of {len(connections)} connections are at one monitor", not apart, apart)
    check.that(f"and every monitor has some: {sorted(map(len, got.values()))}", all(got.values()))


def copies_have_good_checksums(w, check):
    """Checksums were wrong at the monitor (antrea#3832, securityonion#10900); here the VMs do not leave them to hardware."""
    w.network("shop")
    client, server = w.vms("shop", ("client", "n1"), ("server", "n2"), quiet=False)
    ids, here = w.monitors(("ids", "n3"), ("here", "n2"))
    w.tap(client, ids)
    w.redirect(server, here)
    with Inline((here, here)), Captures(client, ids, here, outgoing=True) as at:
        for v6 in (False, True):
            kernel.ping(client, server, v6)
            with kernel.Connection(client, server, 80, v6) as connection:
                check.that("a connection works", connection.transfer(100_000))
        at.settle()
    check.same("copies are what was sent and received", at[client].sent + at[client].frames, at[ids].frames)
    for monitor in (ids, here):
        tested, wrong = Counter(), []
        for f in at[monitor].frames:
            for what, good in checksums(f):
                tested[what] += 1
                if not good:
                    wrong.append(frames.describe(f))
        check.that(f"{monitor.name}: all checksums hold: {dict(tested)}", not wrong and set(tested) >= {"IPv4", "TCP", "ICMP", "ICMPv6"}, wrong[:6])


def checksums(frame):
    """(protocol, whether it holds) for each checksum of an untagged frame."""
    kind, data = frame[12:14], frame[14:]
    if kind == b"\x08\x00":
        size = (data[0] & 15) * 4
        yield "IPv4", frames.checksum(data[:size]) == 0
        proto, ends, data = data[9], data[12:20], data[size:struct.unpack_from("!H", data, 2)[0]]
    elif kind == b"\x86\xdd":
        proto, ends, data = data[6], data[8:40], data[40:40 + struct.unpack_from("!H", data, 4)[0]]
    else:
        return
    name = {frames.TCP: "TCP", frames.UDP: "UDP", frames.ICMP: "ICMP", frames.ICMPV6: "ICMPv6"}.get(proto)
    if name:
        pseudo = b"" if proto == frames.ICMP else ends + struct.pack("!II", len(data), proto)
        yield name, frames.checksum(pseudo + data) == 0


def full_size_frames_do_not_vanish_in_the_tunnel(w, check):
    """Mirrored frames of full size never arrived (ovs-issues#9, securityonion#531, fluxcap#2)."""
    w.network("shop")
    web, far = w.vms("shop", ("web", "n1"), ("far", "n2"))
    ids, ips = w.monitors(("ids", "n3"), ("ips", "n3"))

    def full(a, b):
        return some(mixed(*(udp(a, b, size=frames.FULL - less) for less in (0, 1, 2, 50)), tcp(a, b, v6=True, size=frames.FULL),
                          udp(a, b, size=frames.FULL + 4, vlan=7)), 60)

    out, into = full(web, far), full(far, web)
    batches = [(web, out), (far, into)]
    arrives = {far: ("they arrive whole", out), web: ("and so the other way", into)}
    with w.tapped(web, ids):
        kinds.exchange(check, "full-size frames, copied", batches, {ids: ("the copies are whole", out + into), **arrives})
    with Inline((ips, ips)), w.redirected(web, ips):
        kinds.exchange(check, "full-size frames, redirected", batches, {ips: ("the monitor has them whole", out + into), **arrives})


def a_new_mirror_restarts_nothing(w, check):
    """Adding a mirror restarted a whole VLAN (faucet#3698): flows of other ports stay, and no frame is lost."""
    w.network("shop")
    web, far, near, other = w.vms("shop", ("web", "n1"), ("far", "n2"), ("near", "n1"), ("other", "n2"))
    ids, = w.monitors(("ids", "n3"))
    w.tap(near, ids, "tcp,tp_dst=80")
    switches, before = w.at_rest(), restart.all_flows(w)
    with Captures(web, far, near, other) as at:
        with sending(near, mixed(udp(near, other), udp(near, web), broadcast(near))) as one, sending(other, mixed(udp(other, near), udp(other, far))) as two:
            one.wait_sent(100)
            for direction in ("out", "in", "both"):
                with w.tapped(web, ids, direction=direction):
                    one.wait_more(50)
            one.wait_more(50)
            after = restart.all_flows(w)
            one.stop()
            two.stop()
        at.settle()
    taps.same_switches(check, "mirrors of web came and went", switches, w.lab.snapshot())
    # web's own may be, and those that flood the network, of which web has its part.
    port, enters = w.lab.ofport(web), w.lab.entering(web)
    others = {key: f for key, f in after.items() if key in before and web.mac not in f.text and not re.search(r"table=40,.*reg3=0[ ,]", f.text)
              and not (key[0] == "n1" and (enters in f.text or re.search(rf"in_port={port}[ ,]", f.text)))}
    anew = [f"{node} {text}" for (node, text), f in others.items() if f.duration < before[node, text].duration or f.packets < before[node, text].packets]
    check.that(f"of {len(others)} flows of other ports none was made anew", not anew and len(others) > 100, "\n".join(anew))
    for vm, sent in ((other, one), (near, two), (web, one), (far, two)):
        own = [f for f in sent.sent if f[:6] == frames.mac(vm.mac) or f[0] & 1]
        also = [] if vm is not far else [f for f in one.sent if f[0] & 1]
        check.same(f"{vm.name} got every frame meanwhile", own + also, at[vm].frames)


def every_copy_is_counted(w, check):
    """Tests of mirrors that tolerate ten packets more or less (antrea): the tap's own counters are exact, too."""
    w.network("shop")
    web, far = w.vms("shop", ("web", "n1"), ("far", "n2"))
    ids, = w.monitors(("ids", "n3"))
    tap, http = w.tap(web, ids), w.tap(far, ids, "tcp,tp_dst=80", "in")
    total = Counter()
    for count in (1, 10, 333):
        batch = some(mixed(udp(web, far), tcp(web, far, size=frames.FULL), broadcast(web)), count)
        kinds.exchange(check, f"{count} frames", [(web, batch)], {ids: ("one copy of each", batch)})
        for id, of in ((tap, batch), (http, [f for f in batch if frames.is_tcp(f, 80)])):
            total[id] += len(of)
            total[id, "bytes"] += sum(map(len, of))
            got = w.api.must("GET", f"/v1/taps/{id}?fresh=true")["status"]["counters"]
            check.equal(f"{count} frames more: tap {id} has matched and its packets and bytes", (total[id], total[id, "bytes"]),
                        (got["matched_packets"], got["matched_bytes"]))


def live_migration_breaks_no_connection(w, check):
    """Up to one migration in ten broke a connection (ovn-kubernetes#6581, ovs-issues#230); nor may a frame escape its contract."""
    w.network("shop")
    client, server = w.vms("shop", ("client", "n1"), ("server", "n2"), quiet=False)
    ids, ips = w.monitors(("ids", "n3"), ("ips", "n3"))
    w.tap(client, ids, direction="in")
    redirect = w.redirect(server, ips)
    with Inline((ips, ips)), kernel.Connection(client, server, 80, timeout=60) as connection, Captures(client, server, ids, ips) as at:
        done = []
        transfer = threading.Thread(target=lambda: done.append(connection.transfer(30_000_000)), daemon=True)
        transfer.start()
        for to in ("n4", "n2", "n4", "n2"):  # not the others' nodes: a switch that loses an interface can lose others' frames
            at[server].wait_for(len(at[server].seen) + 300, timeout=WAIT)
            w.lab.migrate(server, to)
            w.wait_port(server)
            w.wait_tap(redirect, server, ips)
        under_way = transfer.is_alive()
        transfer.join(60)
        at.settle()
    check.that("the connection lives through four migrations under load, and all arrives intact", under_way and done == [True], (under_way, done))
    for vm in (client, server):
        past = Counter(at[vm].frames) - Counter(at[ips].frames)
        check.that(f"each of {len(at[vm].frames)} frames that {vm.name} got had passed the inline monitor", not past and at[vm].frames,
                   "\n".join(map(frames.describe, list(past)[:6])))
    check.same("and each that the client got was copied once", at[client].frames, at[ids].frames)


def arp_and_dhcp_are_mirrored(w, check):
    """ARP and DHCP were not mirrored (AWS, GCP)."""
    w.network("shop")
    client, server = w.vms("shop", ("client", "n1", {"ips": [dhcp.LEASE]}), ("server", "n2", {"ips": ["10.0.0.2"]}), warm=False)
    run(dhcp.netns.inside(server.pid, "ip", "addr", "add", "10.0.0.2/24", "dev", "eth0"))
    for monitor in w.monitors(("here", "n1"), ("there", "n3")):
        with dhcp.Server(w, server, client), w.tapped(client, monitor), Captures(client, monitor, outgoing=True) as at:
            check.equal("a lease is obtained", dhcp.LEASE, dhcp.ask(w, client))
            send(client, some(arp_request(client, server), 10))
            at.settle()
        ours, theirs = at[client].sent, at[client].frames
        check.same(f"{monitor.name} has one copy of what the client sent and received", ours + theirs, at[monitor].frames)
        check.that("DHCP and ARP among them, both ways", all(any(f[12:14] == kind for f in of) for of in (ours, theirs) for kind in (b"\x08\x00", b"\x08\x06")))


def migrated_vms_stay_mirrored(w, check):
    """Mirroring was off for a VM that had migrated (TaaS and others)."""
    w.network("shop")
    web, peer = w.vms("shop", ("web", "n1"), ("peer", "n2"))
    ids, = w.monitors(("ids", "n3"))
    w.tap(web, ids)
    for to in ("n4", "n3"):
        migration.move(w, check, web, peer, ids, to)
        w.wait_port(web)
        exact(check, f"after the migration to {to}", web, peer, ids, count=60)


def more_than_a_hundred_sessions(w, check, sessions=150):
    """A hundred mirrors, and no more (AWS, GCP)."""
    w.network("shop")
    web, far = w.vms("shop", ("web", "n1"), ("far", "n2"))
    here, there = w.monitors(("here", "n1"), ("there", "n3"))
    with ThreadPoolExecutor(16) as at_once:
        list(at_once.map(lambda n: w.tap(web, (here, there)[n % 2], f"udp,tp_dst={1000 + n}", "out", id=f"session{n}", wait=None, until_active=True), range(sessions)))
    batch = [udp(web, far, dport=1000 + n)(n) for n in range(sessions)] + [udp(web, far, dport=n)(n) for n in (999, 1000 + sessions)]
    kinds.exchange(check, f"{sessions} mirrors of one port", [(web, batch)], {
        far: ("every frame arrives", batch), here: ("its own of each are copied", batch[:sessions:2]), there: ("and the others", batch[1:sessions:2])})


STORIES = [old_connections_are_mirrored, no_arp_storm_by_the_return_port, broadcast_is_copied_exactly_once, tenants_with_equal_macs_do_not_mix,
           restarts_in_any_order_lose_no_tap, deleted_ports_and_switches_leave_no_mirror, a_killed_controller_makes_nothing_dark,
           both_directions_meet_at_one_monitor, copies_have_good_checksums, full_size_frames_do_not_vanish_in_the_tunnel,
           a_new_mirror_restarts_nothing, every_copy_is_counted, live_migration_breaks_no_connection, arp_and_dhcp_are_mirrored,
           migrated_vms_stay_mirrored, more_than_a_hundred_sessions]
