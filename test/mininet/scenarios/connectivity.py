"""VMs of one network reach each other, and nobody else does."""

import time

import frames
import kernel
from traffic import Captures, send
from world import address, arp_request, broadcast, mixed, multicast, ping, some, tcp, udp


def kernels_talk(w, check):
    """Real kernels: neighbour discovery, ping, TCP, up to full size."""
    w.network("talk")
    a, near, far = w.vms("talk", ("a", "n1"), ("near", "n1"), ("far", "n2"), quiet=False)
    for where, b in (("same node", near), ("cross node", far)):
        for v6 in (False, True):
            ip = "IPv6" if v6 else "IPv4"
            check.that(f"ping, {where}, {ip}", *kernel.ping(a, b, v6))
            check.that(f"full-size ping, {where}, {ip}", *kernel.ping(a, b, v6, size=1452 if v6 else 1472))
            try:
                with kernel.Connection(a, b, 8080, v6) as connection:
                    whole, why = connection.transfer(1 << 20), ""
            except OSError as e:
                whole, why = False, str(e)
            check.that(f"1 MiB over TCP, {where}, {ip}", whole, why)


def crafted_frames_arrive(w, check):
    """Every kind of frame arrives as it was sent, and never where it came from."""
    w.network("shop")
    web, near, far = w.vms("shop", ("web", "n1"), ("near", "n1"), ("far", "n2"))
    for where, b, bystander in (("same node", near, far), ("cross node", far, near)):
        unicast = mixed(udp(web, b), udp(web, b, v6=True), tcp(web, b), tcp(web, b, v6=True), ping(web, b), ping(web, b, v6=True),
                        udp(web, b, vlan=42), udp(web, b, size=frames.FULL), udp(web, b, v6=True, size=frames.FULL))
        with Captures(web, near, far) as at:
            sent = send(web, some(unicast, 90))
            at.settle()
        check.same(f"unicast and full-size frames, {where}", sent, at[b].frames)
        check.none(f"unicast frames to a VM on the {where} reach no third VM", at[bystander].frames)
    with Captures(web, near, far) as at:
        sent = send(web, some(mixed(broadcast(web), arp_request(web, far), multicast(web), multicast(web, v6=True)), 80))
        at.settle()
    check.same("broadcast and multicast reach a VM on the same node", sent, at[near].frames)
    check.same("broadcast and multicast reach a VM on another node", sent, at[far].frames)
    check.none("a VM never receives its own broadcast", at[web].frames)


def networks_do_not_mix(w, check):
    """Two tenants who chose the same MACs and the same IPs, on the same nodes."""
    same = {n: {"mac": f"02:aa:00:00:00:0{n}", "ips": [f"10.9.0.{n}", f"fd09::{n}"]} for n in (1, 2, 3)}
    vms = {}
    for tenant in ("red", "blue"):
        w.network(tenant)
        vms[tenant] = w.vms(tenant, *((f"{tenant}{n}", node, same[n]) for n, node in ((1, "n1"), (2, "n1"), (3, "n2"))))
    everyone = vms["red"] + vms["blue"]
    first = {"red": 0, "blue": 100_000}  # the numbers tell whose frame it is
    for tenant in ("red", "blue"):
        one, two, three = vms[tenant]
        make = mixed(udp(one, two), udp(one, three), tcp(one, three, v6=True), multicast(one, v6=True), broadcast(one))
        with Captures(*everyone) as at:
            sent = send(one, some(make, 100, first[tenant]))
            at.settle()
        to_all = [f for f in sent if f[0] & 1]
        for vm in (two, three):
            own = [f for f in sent if f[:6] == frames.mac(vm.mac)] + to_all
            check.same(f"{vm.name} gets what was sent to it", own, at[vm].frames)
        other = vms["blue" if tenant == "red" else "red"]
        check.none(f"nothing of {tenant} reaches the other network, whose MACs and IPs are the same",
                   [f for vm in other for f in at[vm].frames])


def nobody_spoofs(w, check):
    """A VM that uses another's MAC or IP is not heard, and is counted."""
    w.network("shop")
    thief, near, far = w.vms("shop", ("thief", "n1"), ("near", "n1"), ("far", "n2"))
    mine, theirs = address(thief), address(near)
    mine6, theirs6 = address(thief, v6=True), address(near, v6=True)
    n, payload = frames, frames.numbered(1)
    attempts = {
        "another's MAC": n.udp(near.mac, far.mac, mine, address(far), 1, 2, payload),
        "another's MAC, no IP": n.ethernet(near.mac, far.mac, 0x88B5, payload),
        "another's IPv4 address": n.udp(thief.mac, far.mac, theirs, address(far), 1, 2, payload),
        "another's IPv6 address": n.udp(thief.mac, far.mac, theirs6, address(far, True), 1, 2, payload),
        "another's IPv4 address, broadcast": n.udp(thief.mac, n.BROADCAST, theirs, "255.255.255.255", 1, 2, payload),
        "an ARP request from another's IP": n.arp(thief.mac, theirs, address(far)),
        "an ARP request from another's MAC inside": n.arp(near.mac, mine, address(far), eth_src=thief.mac),
        "an ARP reply for another's IP": n.arp(thief.mac, theirs, address(far), op=2, dst_mac=far.mac),
        "a neighbour advertisement for another's IP": n.neighbour_advertisement(thief.mac, far.mac, mine6, address(far, True), theirs6),
        "a neighbour advertisement with another's MAC inside": n.neighbour_advertisement(thief.mac, far.mac, mine6, address(far, True), mine6, tll=near.mac),
        "a neighbour solicitation with another's MAC inside": n.neighbour_solicitation(thief.mac, mine6, address(far, True), sll=near.mac),
        "a neighbour solicitation from another's IP": n.neighbour_solicitation(thief.mac, theirs6, address(far, True)),
        "another's MAC under a VLAN tag": n.udp(near.mac, far.mac, mine, address(far), 1, 2, payload, vlan=7),
        "another's IPv4 address under a VLAN tag": n.udp(thief.mac, far.mac, theirs, address(far), 1, 2, payload, vlan=7),
    }
    each = 5
    before = w.api.metric("flowtap_spoofed_packets_total", port="thief")
    for what, frame in attempts.items():
        with Captures(near, far) as at:
            send(thief, [frame] * each)
            at.settle(quiet=0.1)
        check.none(f"spoofing with {what} is dropped", at[near].frames + at[far].frames)
    counted = eventually(lambda: w.api.metric("flowtap_spoofed_packets_total", port="thief") - before, each * len(attempts))
    check.equal("/metrics counts every spoofed packet", float(each * len(attempts)), counted)
    check.equal("/metrics counts none at the others", 0.0, w.api.metric("flowtap_spoofed_packets_total", port="near"))

    honest = [n.udp(thief.mac, n.BROADCAST, "0.0.0.0", "255.255.255.255", 68, 67, payload), n.arp(thief.mac, "0.0.0.0", mine),
              n.neighbour_solicitation(thief.mac, "::", mine6)]
    with Captures(near, far) as at:
        send(thief, honest)
        at.settle()
    check.same("DHCP discovery, ARP probe and duplicate address detection pass", honest, at[far].frames)


def monitors_are_out_of_reach(w, check):
    """No VM reaches a monitor, and a monitor reaches no VM."""
    w.network("shop")
    web, far = w.vms("shop", ("web", "n1"), ("far", "n2"))
    ids1, ids2 = w.monitors(("ids1", "n1"), ("ids2", "n2"))
    tries = [f for m in (ids1, ids2) for f in
             (frames.udp(web.mac, m.mac, address(web), "10.0.0.250", 1, 2, frames.numbered(3)), frames.arp(web.mac, address(web), "10.0.0.250"))]
    tries += some(mixed(broadcast(web), multicast(web), multicast(web, v6=True)), 30)
    with Captures(ids1, ids2, far) as at:
        send(web, tries)
        at.settle()
    check.none("no frame of a VM reaches a monitor on its own node", at[ids1].frames)
    check.none("no frame of a VM reaches a monitor on another node", at[ids2].frames)
    check.that("while they do reach a VM", len(at[far].frames) >= 30)

    w.tap(web, ids2)
    w.tap(far, ids1)
    for m in (ids1, ids2):
        # As itself, as the tapped VM, and with a copy as it would have got it.
        forged = some(mixed(udp(web, far), broadcast(web), udp(far, web), udp(m_as(m), far), udp(m_as(m), web)), 50)
        with Captures(web, far, ids1, ids2) as at:
            send(m, forged)
            at.settle()
        check.none(f"{m.name}, which gets copies, injects no frame", at[web].frames + at[far].frames)
        check.none(f"{m.name} reaches no monitor", at[ids1].frames + at[ids2].frames)
        counted = eventually(lambda: w.api.metric("flowtap_monitor_dropped_packets_total", port=m.name), float(len(forged)))
        check.equal(f"/metrics counts every frame that {m.name} tried to inject", float(len(forged)), counted)


def m_as(monitor):
    """The monitor with addresses, as a forger would choose them."""
    class Forger:
        name, mac, ips = monitor.name, monitor.mac, ["10.0.0.77", "fd00::77"]
    return Forger


def eventually(read, want, timeout=15.0):
    """Read until the value is want; returns the last value read."""
    deadline = time.monotonic() + timeout
    while True:
        got = read()
        if got == want or time.monotonic() > deadline:
            return got
        time.sleep(0.1)


STORIES = [kernels_talk, crafted_frames_arrive, networks_do_not_mix, nobody_spoofs, monitors_are_out_of_reach]
