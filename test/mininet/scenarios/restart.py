"""The dataplane outlives the controller: kill -9 costs no copy, and the restart re-adds no flow."""

import time

import ofdump
from traffic import Captures
from world import WAIT, exact, mixed, multicast, sending, tcp, udp


def shop(w):
    """What every story here starts with: web on n1 is tapped to ids on n3 and talks with far on n2."""
    w.network("shop")
    web, far = w.vms("shop", ("web", "n1"), ("far", "n2"))
    ids, = w.monitors(("ids", "n3"))
    return web, far, ids, w.tap(web, ids)


def killed_under_traffic(w, check):
    """Zero copies missed, no flow touched."""
    web, far, ids, tap = shop(w)
    objects, switches = wanted(w), w.at_rest()
    with Captures(far, web, ids) as at:
        with sending(web, mixed(udp(web, far), multicast(web, v6=True))) as out, sending(far, mixed(udp(far, web), tcp(far, web, v6=True))) as into:
            out.wait_sent(300)
            flows, then = all_flows(w), time.monotonic()
            w.flowtapd.kill()
            out.wait_more(1500)  # into and out of the switches' attempts to reconnect
            check.that("while flowtapd is dead, the switches hold what they held", w.lab.snapshot() == switches)
            took = w.flowtapd.start()
            w.wait_connected()
            w.wait_tap(tap, web, ids)
            out.wait_more(1500)  # long enough for a late second thought
            now, later = all_flows(w), time.monotonic()
            out.stop()
            into.stop()
        at.settle()
    check.same("from before kill -9 until after the restart every frame arrived", out.sent, at[far].frames)
    check.same("also in the other direction", into.sent, at[web].frames)
    check.same("and every one of them was copied exactly once", out.sent + into.sent, at[ids].frames)
    print(f"     restart: ready after {took:.2f} s", flush=True)

    check.equal("every acknowledged object is still there", objects, wanted(w))
    same_switches(check, "after the restart", switches, w.lab.snapshot())
    readded = []
    for key, flow in flows.items():
        again = now.get(key)
        if again and (again.duration < flow.duration + (later - then) - 1.0 or again.packets < flow.packets):
            readded.append(f"{key}: {flow.duration} s, {flow.packets} packets; {later - then:.1f} s later {again.duration} s, {again.packets} packets")
    check.that("no flow was re-added: all durations and counters went on", not readded and flows, "\n".join(readded))


def acknowledged_then_killed(w, check):
    """A 201 is a promise, also when the process dies in the next microsecond."""
    shop(w)
    for n in range(5):
        w.api.create("networks", {"id": f"net{n}"})
        w.api.create("ports", {"id": f"port{n}", "network": f"net{n}", "mac": f"02:dd:00:00:00:0{n}"})
        w.api.create("taps", {"id": f"tap{n}", "src": f"port{n}", "dst": "ids", "action": "forward"})
        w.flowtapd.kill()
        w.flowtapd.start()
        found = {(c, i["id"]) for c in ("networks", "ports", "taps") for i in w.api.list(c)}
        check.that(f"killed right after a 201, round {n + 1}: the object is there", {("networks", f"net{n}"), ("ports", f"port{n}"), ("taps", f"tap{n}")} <= found)
    for collection in ("tap", "port", "net"):
        for n in range(5):
            w.api.delete({"net": "networks"}.get(collection, collection + "s"), f"{collection}{n}")
    w.wait_connected()


def repaired(w, check):
    """What an operator broke with ovs-ofctl while flowtapd was down is repaired, and only that."""
    web, far, ids, _ = shop(w)
    switches = w.at_rest()
    w.flowtapd.kill()
    before = all_flows(w)
    victim = max((f for (node, _), f in before.items() if node == "n1"), key=lambda f: f.packets)
    w.lab.ofctl("n1", "del-flows", f"cookie={victim.cookie}/-1")
    w.lab.ofctl("n3", "del-groups")  # with every flow that points to them
    broken = ofdump.difference(switches, w.lab.snapshot())
    check.that(f"with flowtapd down, flows were deleted behind its back ({len(broken)} lines)", any(line.startswith("n1") for line in broken))
    then = time.monotonic()
    w.flowtapd.start()
    w.wait_connected()
    left = settled(w, switches)
    check.that("after the restart the switches hold again what they held", not left, "\n".join(left))
    after, passed = all_flows(w), time.monotonic() - then
    gone = {line.split(" ", 2)[2] for line in broken}
    readded = [f"{key}" for key, f in before.items() if f"{f.cookie} {f.text}" not in gone
               and key in after and after[key].duration < f.duration + passed - 1.0]
    check.that("only what was missing was added", not readded, "\n".join(readded))
    exact(check, "after the repair", web, far, ids)


def moved_while_it_was_down(w, check):
    """A VM that moved while flowtapd was down is found where it is now."""
    web, far, ids, tap = shop(w)
    w.flowtapd.kill()
    w.lab.migrate(web, "n2")
    w.flowtapd.start()
    w.wait_connected()
    w.wait_port(web)
    w.wait_tap(tap, web, ids)
    w.warm([web, far])
    exact(check, "moved while flowtapd was down", web, far, ids)


def a_switch_restarts(w, check):
    """ovs-vswitchd dies with all its flows; it gets them back without anybody's help."""
    web, far, ids, tap = shop(w)
    for node in ("n1", "n3", "n2"):
        switches = w.at_rest()
        w.lab.restart_vswitchd(node)
        left = settled(w, switches)
        check.that(f"ovs-vswitchd of {node} restarted: it holds again what it held", not left, "\n".join(left))
        w.wait_connected()
        for vm in (web, far, ids):
            w.wait_port(vm)
        w.wait_tap(tap, web, ids)
        w.warm([web, far])
        exact(check, f"after ovs-vswitchd of {node} restarted", web, far, ids)


def wanted(w):
    """All objects without what the controller observed."""
    return {c: sorted(({k: v for k, v in i.items() if k != "status"} for i in w.api.list(c)), key=lambda i: i["id"])
            for c in ("nodes", "networks", "ports", "taps")}


def all_flows(w):
    """(node, flow text with cookie) to Flow, of every node."""
    return {(node, f"{f.cookie} {f.text}"): f for node in w.lab.nodes for f in w.lab.flows(node)}


def settled(w, switches, timeout=WAIT):
    """Wait until the switches hold that; returns how they differ at the end."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            left = ofdump.difference(switches, w.lab.snapshot())
        except Exception as e:  # a switch that is just coming up
            left = [str(e)]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.1)


def same_switches(check, when, before, after):
    left = ofdump.difference(before, after)
    check.that(f"{when}, the switches hold what they held", not left, "\n".join(left))


STORIES = [killed_under_traffic, acknowledged_then_killed, repaired, moved_while_it_was_down, a_switch_restarts]
