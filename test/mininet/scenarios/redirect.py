"""A redirected flow goes to its monitor alone, and only what the monitor gives back arrives, once."""

import contextlib
import os
import time

import frames
import netns
from craft import craft
from inline import Inline
from topo import run
from traffic import Captures, send
from world import WAIT, broadcast, mixed, multicast, ping, some, tcp, udp

RETURNED = 1.0  # seconds within which a frame that goes through monitors is there


def kinds(a, b):
    """Frames of every kind from a to b, all of them numbered; broadcasts, tags and full-size frames, too."""
    return mixed(udp(a, b), udp(a, b, v6=True), tcp(a, b), ping(a, b), udp(a, b, size=frames.FULL), udp(a, b, vlan=42, pcp=3),
                 tcp(a, b, v6=True, size=frames.FULL), lambda n: craft("arp", a, b, n, dl_dst=frames.BROADCAST), multicast(a),
                 multicast(a, v6=True), broadcast(a))


def to_all(f):
    return bool(f[0] & 1)


@contextlib.contextmanager
def inline(w, *arms, command="pass", file="inline"):
    """An inline monitor at each pair of VMs: frames in by the first, back by the second."""
    with contextlib.ExitStack() as stack:
        made = [stack.enter_context(Inline(arm, capture=os.path.join(w.lab.directory, f"{file}{i}"))) for i, arm in enumerate(arms)]
        for m in made:
            m.tell(command)
        yield made


def through(w, check, title, batches, expected):
    """Send batches of (VM, frames); {VM: (what, frames)} is what must arrive at each, byte for byte and no more."""
    with Captures(*expected) as at:
        for vm, batch in batches:
            send(vm, batch, rate=1500)
        for vm, (_, wanted) in expected.items():
            at[vm].wait_for(len(wanted), timeout=RETURNED)
        at.settle(quiet=0.2)
    for vm, (what, wanted) in expected.items():
        if wanted:
            check.same(f"{title}: {what}", wanted, at[vm].frames)
        else:
            check.none(f"{title}: {what}", at[vm].frames)


def one_armed(w, check):
    """Direction in, out and both; monitor with the target, with the peer and elsewhere; peer here and there."""
    w.network("shop")
    web, near, far = w.vms("shop", ("web", "n1"), ("near", "n1"), ("far", "n2"))
    monitors = w.monitors(("here", "n1"), ("there", "n3"), ("beside", "n2"))
    before = w.at_rest()
    for monitor in monitors:
        with inline(w, (monitor, monitor)) as (program,):
            for direction in ("in", "out", "both"):
                for peer in (near, far):
                    other = far if peer is near else near
                    with w.redirected(web, monitor, direction=direction):
                        title = f"{direction}, monitor on {monitor.node.name}, peer on {peer.node.name}"
                        both_ways(w, check, title, web, peer, other, monitor, direction, program)
    left = w.at_rest()
    check.equal("after these redirects are deleted the switches hold what they held", before, left)


def both_ways(w, check, title, web, peer, other, monitor, direction, program):
    """Frames of every kind in both directions, with the monitor giving back all, and none."""
    out, into = some(kinds(web, peer), 44), some(kinds(peer, web), 44, 1000)
    outside = [f for f in out + into if to_all(f)]
    diverted = (out if direction != "in" else []) + (into if direction != "out" else [])
    through(w, check, title, [(web, out), (peer, into)], {
        peer: ("what web sent arrives once", out), web: ("what the peer sent arrives once", into),
        monitor: ("the monitor has each of the flow once, unmodified", diverted), other: ("others get what is for everyone, once", outside)})
    program.tell("drop")
    kept_out, kept_in = ([] if direction != "in" else out), ([] if direction != "out" else into)
    # Broadcasts on their way in are kept from the target alone.
    others = [f for f in outside if f in kept_out or f in into]
    through(w, check, f"{title}, dropped", [(web, out), (peer, into)], {
        peer: ("nothing of the flow arrives", kept_out), web: ("nothing of the flow is delivered", kept_in),
        other: ("others get what is not of the flow", others), monitor: ("the monitor has it all", diverted)})
    program.tell("pass")


def two_armed(w, check):
    """Frames are given back by the other port, also where that is on another node."""
    w.network("shop")
    web, near, far = w.vms("shop", ("web", "n1"), ("near", "n1"), ("far", "n2"))
    for n, (first, second) in enumerate((("n1", "n1"), ("n3", "n3"), ("n3", "n2"))):
        back, = w.monitors((f"back{n}", second))
        ids, = w.monitors((f"ids{n}", first, {"return_port": back.name}))
        with inline(w, (ids, back)) as (program,):
            for peer, other in ((near, far), (far, near)):
                with w.redirected(web, ids):
                    both_ways(w, check, f"two-armed, {first} and {second}, peer on {peer.node.name}", web, peer, other, ids, "both", program)
            with w.redirected(web, ids):
                # By the first arm nothing comes back.
                through(w, check, f"two-armed, {first} and {second}: what the first arm sends", [(ids, some(udp(web, far), 20))],
                        {far: ("does not arrive", [])})


def both_endpoints_at_one_monitor(w, check):
    """A frame between two endpoints that are both redirected to a monitor passes it once."""
    w.network("shop")
    web, near, far = w.vms("shop", ("web", "n1"), ("near", "n1"), ("far", "n2"))
    for monitor in w.monitors(("here", "n1"), ("there", "n3"), ("beside", "n2")):
        with inline(w, (monitor, monitor)) as (program,):
            for peer, other in ((near, far), (far, near)):
                with w.redirected(web, monitor), w.redirected(peer, monitor):
                    out, into = some(kinds(web, peer), 44), some(kinds(peer, web), 44, 1000)
                    through(w, check, f"web and {peer.name} redirected to {monitor.name}", [(web, out), (peer, into)], {
                        peer: ("frames arrive once", out), web: ("and so the other way", into), monitor: ("each passed the monitor once", out + into),
                        other: ("others get what is for everyone, once", [f for f in out + into if to_all(f)])})
                    before = program.counts["received"]
                    program.tell("drop")
                    through(w, check, f"web and {peer.name} redirected to {monitor.name}, dropped", [(web, out), (peer, into)],
                            {peer: ("nothing arrives", []), web: ("nor the other way", []), other: ("nor anywhere else", [])})
                    check.equal("dropped, it had each once", len(out + into), program.counts["received"] - before)
                    program.tell("pass")


def two_monitors(w, check):
    """A frame between endpoints that are redirected to different monitors passes each of them once."""
    w.network("shop")
    web, near, far = w.vms("shop", ("web", "n1"), ("near", "n1"), ("far", "n2"))
    one, two, three = w.monitors(("one", "n1"), ("two", "n3"), ("three", "n2"))
    with inline(w, (one, one), (two, two), (three, three)) as programs:
        for first, second in ((one, two), (two, one), (two, three), (one, three)):
            for peer in (near, far):
                with w.redirected(web, first), w.redirected(peer, second):
                    out, into = some(kinds(web, peer), 44), some(kinds(peer, web), 44, 1000)
                    through(w, check, f"web redirected to {first.name}, {peer.name} to {second.name}", [(web, out), (peer, into)], {
                        peer: ("frames arrive once", out), web: ("and so the other way", into),
                        first: ("each passed the one monitor once", out + into), second: ("and the other once", out + into)})
                    program = programs[(one, two, three).index(second)]
                    program.tell("drop")
                    unicast = [f for f in out if not to_all(f)]
                    through(w, check, f"web redirected to {first.name}, {peer.name} to {second.name} that drops", [(web, out)], {
                        peer: ("nothing arrives", []), first: ("the first had all", out), second: ("the second, too", out)})
                    check.that("of several kinds", unicast)
                    program.tell("pass")


def redirected_and_copied(w, check):
    """A flow may be redirected at one end and copied at the other: the copy is of what arrives."""
    w.network("shop")
    web, far = w.vms("shop", ("web", "n1"), ("far", "n2"))
    ips, ids = w.monitors(("ips", "n3"), ("ids", "n1"))
    with inline(w, (ips, ips)) as (program,):
        with w.redirected(web, ips, direction="out"), w.tapped(far, ids, direction="in"):
            out = some(kinds(web, far), 44)
            through(w, check, "redirected where it is sent, copied where it arrives", [(web, out)], {
                far: ("frames arrive once", out), ips: ("pass the inline monitor once", out), ids: ("are copied once", out)})
            program.tell("drop")
            through(w, check, "the inline monitor drops", [(web, out)], {far: ("nothing arrives", []), ids: ("what does not arrive is not copied", [])})
            program.tell("pass")


def a_part_of_the_traffic(w, check):
    """Only the flow is redirected; fragments, ARP and everything else go straight."""
    w.network("shop")
    web, far = w.vms("shop", ("web", "n1"), ("far", "n2"))
    for ids in w.monitors(("here", "n1"), ("there", "n3")):
        with inline(w, (ids, ids), command="drop"), w.redirected(web, ids, "tcp,tp_dst=80", "both"):
            out = some(mixed(tcp(web, far), tcp(web, far, v6=True), tcp(web, far, sport=80, dport=4000), tcp(web, far, dport=81),
                             udp(web, far, dport=80), broadcast(web)), 60)
            into = some(mixed(tcp(far, web), tcp(far, web, sport=80, dport=4000, v6=True), udp(far, web), broadcast(far)), 60, 1000)

            def flow(f):
                return frames.is_tcp(f, 80)

            through(w, check, f"TCP port 80 redirected to a monitor on {ids.node.name} that drops", [(web, out), (far, into)], {
                far: ("the rest arrives", [f for f in out if not flow(f)]), web: ("the rest arrives the other way", [f for f in into if not flow(f)]),
                ids: ("the monitor has the flow", [f for f in out + into if flow(f)])})


def a_broadcast_to_one_target(w, check):
    """A broadcast that a redirect diverts on its way in comes back to that target only."""
    w.network("shop")
    talker, web, near, far = w.vms("shop", ("talker", "n1"), ("web", "n1"), ("near", "n1"), ("far", "n2"))
    sent = some(mixed(broadcast(talker), multicast(talker), lambda n: craft("arp", talker, far, n, dl_dst=frames.BROADCAST), udp(talker, web), udp(talker, far)), 60)
    everyones = [f for f in sent if to_all(f)]

    def of(vm):
        return [f for f in sent if to_all(f) or f[:6] == frames.mac(vm.mac)]

    for monitor in w.monitors(("here", "n1"), ("there", "n3"), ("beside", "n2")):
        with inline(w, (monitor, monitor)) as (program,):
            for targets in ((web,), (far,), (web, far)):
                with contextlib.ExitStack() as stack:
                    for target in targets:
                        stack.enter_context(w.redirected(target, monitor, direction="in"))
                    title = f"broadcasts to {' and '.join(t.name for t in targets)}, redirected in to {monitor.name}"
                    passes = [f for f in sent if to_all(f) or any(f[:6] == frames.mac(t.mac) for t in targets)]
                    through(w, check, title, [(talker, sent)], {
                        web: ("web gets its own once", of(web)), far: ("far gets its own once", of(far)), near: ("near gets each broadcast once", everyones),
                        talker: ("the sender gets nothing back", []), monitor: ("the monitor has each once", passes)})
                    program.tell("drop")
                    through(w, check, f"{title}, dropped", [(talker, sent)], {
                        web: ("web gets nothing" if web in targets else "web is not concerned", [] if web in targets else of(web)),
                        far: ("far gets nothing" if far in targets else "far is not concerned", [] if far in targets else of(far)),
                        near: ("near gets each broadcast once", everyones)})
                    program.tell("pass")


def what_a_monitor_invents(w, check):
    """Frames that no redirect explains do not leave the monitor's port; they are counted."""
    w.network("shop")
    w.network("other")
    web, near, far = w.vms("shop", ("web", "n1"), ("near", "n1"), ("far", "n2"))
    foreign, = w.vms("other", ("foreign", "n1"), warm=False)
    for ids in w.monitors(("here", "n1"), ("there", "n3")):
        with w.redirected(web, ids, "tcp,tp_dst=80", "in"):
            invented = [make(n) for n, make in enumerate((
                udp(Own(ids), far), broadcast(Own(ids)), udp(web, far), udp(far, web), broadcast(web), broadcast(far),
                tcp(far, web, dport=81), tcp(web, far, sport=81), tcp(near, far), tcp(far, near), tcp(far, foreign, dport=81), udp(far, foreign),
                udp(near, web), ping(far, web),
                lambda n: craft("arp", web, far, n, dl_dst=frames.BROADCAST), lambda n: craft("raw", far, web, n)))]
            before = dropped(w, ids)
            through(w, check, f"what a monitor on {ids.node.name} invents", [(ids, invented)], {
                vm: (f"does not reach {vm.name}", []) for vm in (web, near, far, foreign)})
            counted = eventually(lambda: dropped(w, ids) - before, len(invented))
            check.equal(f"what a monitor on {ids.node.name} invents is counted", len(invented), counted)


class Own:
    """A monitor as the sender of frames: it has a MAC, and takes some IPs."""

    def __init__(self, vm):
        self.name, self.mac, self.ips = vm.name, vm.mac, ["10.0.0.250", "fd00::fa"]


def dropped(w, monitor):
    return int(w.api.metric("flowtap_monitor_dropped_packets_total", port=monitor.name))


def eventually(get, want, timeout=7.0):
    """The value once it is what is wanted, or what it is in the end."""
    deadline = time.monotonic() + timeout
    while get() != want and time.monotonic() < deadline:
        time.sleep(0.1)
    return get()


def answers_in_an_endpoints_name(w, check):
    """Within the redirected flow a monitor may answer for either end: a RST to each, a honeypot's reply."""
    w.network("shop")
    web, near, far = w.vms("shop", ("web", "n1"), ("near", "n1"), ("far", "n2"))
    for ids in w.monitors(("here", "n1"), ("there", "n3"), ("beside", "n2")):
        for direction in ("in", "both"):
            with w.redirected(web, ids, "tcp,tp_dst=80", direction):
                for peer in (near, far):
                    for v6 in (False, True):
                        def reset(a, b, sport, dport, n, v6=v6):
                            return frames.tcp(a.mac, b.mac, a.ips[v6], b.ips[v6], sport, dport, frames.numbered(n), flags=frames.RST | frames.ACK)

                        to_peer, to_web = [reset(web, peer, 80, 4000, n) for n in range(5)], [reset(peer, web, 4000, 80, n) for n in range(5)]
                        through(w, check, f"{direction}, monitor on {ids.node.name}, {peer.name} over {'IPv6' if v6 else 'IPv4'}", [(ids, to_peer + to_web)],
                                {peer: ("a RST in web's name arrives", to_peer), web: ("a RST in the peer's name arrives", to_web)})
    # The whole of it: a program that resets.
    ids, = w.monitors(("reset", "n3"))
    with inline(w, (ids, ids), command="reset-if /evil") as (program,), w.redirected(web, ids, "tcp,tp_dst=80", "in"):
        bad = [frames.tcp(far.mac, web.mac, far.ips[0], web.ips[0], 4000, 80, b"GET /evil " + frames.numbered(1), seq=1000, ack=2000)]
        with Captures(web, far) as at:
            send(far, bad)
            at[web].wait_for(1, RETURNED)
            at[far].wait_for(1, RETURNED)
            at.settle()
        check.that("a request with /evil is answered by a RST to its sender", len(at[far].frames) == 1 and at[far].frames[0][47] & frames.RST, at[far].frames)
        check.that("and its receiver gets a RST instead of it", len(at[web].frames) == 1 and at[web].frames[0][47] & frames.RST, at[web].frames)
        check.equal("which were both invented", 2, program.counts["invented"])


def closed(w, check):
    """What the stories about a monitor that is gone share: for each monitor its redirect, and what must arrive now."""
    w.network("shop")
    web, far = w.vms("shop", ("web", "n1"), ("far", "n2"))
    out = some(mixed(tcp(web, far), tcp(web, far, v6=True), tcp(web, far, dport=81), broadcast(web)), 40)
    into = some(mixed(tcp(far, web, sport=80, dport=4000), udp(far, web)), 40, 1000)
    rest_out, rest_in = ([f for f in b if not frames.is_tcp(f, 80)] for b in (out, into))
    for ids in w.monitors(("here", "n1"), ("there", "n3")):
        with w.redirected(web, ids, "tcp,tp_dst=80") as tap:
            where = f"monitor on {ids.node.name}"

            def passes(title, ids=ids, where=where):
                with inline(w, (ids, ids)):
                    through(w, check, f"{where}, {title}", [(web, out), (far, into)],
                            {far: ("frames arrive once", out), web: ("and so the other way", into)})

            def stops(title, where=where):
                through(w, check, f"{where}, {title}", [(web, out), (far, into)],
                        {far: ("the flow stops, the rest arrives", rest_out), web: ("and so the other way", rest_in)})

            passes("in service")
            yield web, far, ids, tap, where, passes, stops


def fail_closed(w, check):
    """Without its monitor a redirected flow stops; the rest goes on."""
    for web, far, ids, tap, where, passes, stops in closed(w, check):
        for back_on in ("n4", ids.node.name):
            w.lab.unplug(ids)
            # A userspace Open vSwitch that loses an interface can lose others' frames for some milliseconds.
            with Captures(web, far) as at:
                send(web, some(tcp(web, far), 20))
                send(far, some(tcp(far, web, sport=80, dport=4000), 20))
                at.settle()
            check.none(f"{where}, just unplugged: nothing of the flow arrives", at[web].frames + at[far].frames)
            status = w.api.wait_state("taps", tap, "degraded", timeout=WAIT)["status"]
            check.that(f"{where}, unplugged: the tap is degraded: {status['reason']}", ids.name in status["reason"])
            stops("unplugged")
            w.lab.plug(ids, back_on)
            w.wait_port(ids)
            w.wait_tap(tap, web, ids)
            passes(f"plugged again, on {back_on}")


def fail_closed_without_a_link(w, check):
    """So where the monitor's port is still there, but its link is down."""
    for web, _, ids, tap, _, passes, stops in closed(w, check):
        link(ids, "down")
        stops("its link down")
        w.api.wait_state("taps", tap, "degraded", timeout=WAIT)
        stops("its link down for some time")
        link(ids, "up")
        w.wait_tap(tap, web, ids)
        passes("its link up again")


def fail_closed_without_a_program(w, check):
    """And where nobody gives frames back."""
    for _, _, _, _, _, passes, stops in closed(w, check):
        stops("nobody at work")
        passes("at work again")


def opened(w, check):
    """What the stories about fail_mode open share, for each monitor: its redirect, and what arrives with it and without."""
    w.network("shop")
    web, far = w.vms("shop", ("web", "n1"), ("far", "n2"))
    out, into = some(kinds(web, far), 44), some(kinds(far, web), 44, 1000)
    arrives = {far: ("frames arrive once", out), web: ("and so the other way", into)}
    for ids in w.monitors(("here", "n1"), ("there", "n3")):
        with w.redirected(web, ids, fail_mode="open") as tap:
            where = f"open, monitor on {ids.node.name}"

            def monitored(title, ids=ids, tap=tap, where=where):
                w.wait_tap(tap, web, ids)
                with inline(w, (ids, ids)):
                    through(w, check, f"{where}, {title}", [(web, out), (far, into)], {**arrives, ids: ("the monitor has each once", out + into)})

            def unmonitored(title, tap=tap, where=where):
                w.api.wait_state("taps", tap, "degraded", timeout=WAIT)
                through(w, check, f"{where}, {title}", [(web, out), (far, into)], arrives)

            monitored("in service")
            yield ids, monitored, unmonitored


def fail_open(w, check):
    """With fail_mode open the flow passes unmonitored when its monitor is gone, and the tap says degraded."""
    for ids, monitored, unmonitored in opened(w, check):
        on = ids.node
        w.lab.unplug(ids)
        unmonitored("unplugged")
        w.lab.plug(ids, on)
        monitored("plugged again")


def fail_open_without_a_link(w, check):
    """So where the monitor's port is still there, but its link is down."""
    for ids, monitored, unmonitored in opened(w, check):
        link(ids, "down")
        unmonitored("its link down")
        link(ids, "up")
        monitored("its link up again")


def link(vm, state):
    """Set a VM's own end of the wire up or down: the switch port loses or regains its carrier."""
    run(netns.inside(vm.pid, "ip", "link", "set", "eth0", state))


def a_monitor_of_two_networks(w, check):
    """It needs tags: without them the second network's redirect is refused; with them each network has its own."""
    same = {n: {"mac": f"02:aa:00:00:00:0{n}", "ips": [f"10.9.0.{n}", f"fd09::{n}"]} for n in (1, 2)}
    vms = {}
    for tenant in ("red", "blue"):
        w.network(tenant)
        vms[tenant] = w.vms(tenant, (f"{tenant}1", "n1", same[1]), (f"{tenant}2", "n2", same[2]))
    plain, tagging = w.monitors(("plain", "n1"), ("tagging", "n3", {"tag": "vlan"}))
    with w.redirected(vms["red"][0], plain):
        answer = w.api.request("POST", "/v1/taps", {"id": "second", "src": "blue1", "dst": "plain", "action": "redirect"})
        check.equal("a second network's redirect to a monitor without tags is refused", (422, "dst"), (answer.status, (answer.body or {}).get("field")))
        check.that(f"with the reason: {(answer.body or {}).get('detail')}", "tag" in str(answer.body))
    batches, arriving = [], {}
    for first, (one, two) in enumerate(vms.values()):
        out, into = some(kinds(one, two), 44, 2000 * first), some(kinds(two, one), 44, 2000 * first + 1000)
        batches += [(one, out), (two, into)]
        arriving |= {two: (f"{one.name}'s frames arrive once, at {two.name} only", out), one: (f"{two.name}'s frames arrive once", into)}
    with inline(w, (tagging, tagging)), w.redirected(vms["red"][0], tagging), w.redirected(vms["blue"][0], tagging), Captures(tagging) as at:
        through(w, check, "two networks with the same addresses, one monitor with tags", batches, arriving)
        at.settle()
        seen = {}
        for f in at[tagging].frames:
            seen.setdefault(f[12:16], []).append(f[:12] + f[16:])
    check.equal("it sees two tags", (2, {b"\x81\x00"}), (len(seen), {tag[:2] for tag in seen}))
    for tenant, at_first in zip(vms, (0, 2000)):
        wanted = [f for vm, batch in batches if vm in vms[tenant] for f in batch]
        fitting = [got for got in seen.values() if frames.number(got[0]) // 2000 * 2000 == at_first]
        check.same(f"{tenant}'s frames under one of them, otherwise unmodified", wanted, fitting[0] if fitting else [])


STORIES = [one_armed, two_armed, both_endpoints_at_one_monitor, two_monitors, redirected_and_copied, a_part_of_the_traffic,
           a_broadcast_to_one_target, what_a_monitor_invents, answers_in_an_endpoints_name, fail_closed,
           fail_closed_without_a_link, fail_closed_without_a_program, fail_open,
           fail_open_without_a_link, a_monitor_of_two_networks]
