"""A monitor that moves, one that goes and comes back, and a tap that is turned off and on."""

from scenarios.kinds import exchange
from traffic import Captures
from world import WAIT, broadcast, exact, mixed, sending, some, udp


def a_monitor_that_moves(w, check):
    """Copies follow the monitor; while it moves none comes twice.

    Frames may be lost meanwhile, to everyone: with or without FlowTap, a userspace Open vSwitch
    that loses an interface can lose the frames of others for some milliseconds.
    """
    w.network("shop")
    web, far = w.vms("shop", ("web", "n1"), ("far", "n2"))
    ids, = w.monitors(("ids", "n3"))
    tap = w.tap(web, ids)
    for to in ("n2", "n1", "n4"):
        with Captures(web, far, ids) as at:
            with sending(web, mixed(udp(web, far), broadcast(web))) as out, sending(far, mixed(udp(far, web), broadcast(far))) as into:
                out.wait_sent(50)
                into.wait_sent(50)
                w.lab.migrate(ids, to)
                w.wait_port(ids)
                w.wait_tap(tap, web, ids)
                marks = out.next, into.next
                out.wait_more(100)
                into.wait_more(100)
                out.stop()
                into.stop()
            at.settle()
        title = f"the monitor moves to {to} under traffic"
        late = {far: out.sent[marks[0]:], web: into.sent[marks[1]:]}
        moving = {far: out.sent[:marks[0]], web: into.sent[:marks[1]]}
        for vm in (far, web):
            lost = len(moving[vm]) - len(set(moving[vm]) & set(at[vm].frames))
            check.same(f"{title}: {vm.name} gets every frame after active, and none twice ({lost} of {len(moving[vm])} before lost)",
                       late[vm], less_one_each(moving[vm], at[vm].frames))
        check.same(f"{title}: every frame after active is copied once, none before more often",
                   late[far] + late[web], less_one_each(moving[far] + moving[web], at[ids].frames))


def less_one_each(allowed, got):
    """The frames got less one of each that is allowed and not demanded."""
    may, rest = set(allowed), []
    for frame in got:
        if frame in may:
            may.discard(frame)
        else:
            rest.append(frame)
    return rest


def a_monitor_that_comes_back(w, check):
    """Without its monitor a tap is degraded; with it, active, and complete again."""
    w.network("shop")
    web, far = w.vms("shop", ("web", "n1"), ("far", "n2"))
    ids, = w.monitors(("ids", "n3"))
    tap = w.tap(web, ids)
    exact(check, "before", web, far, ids, count=50)
    for back_on in ("n3", "n2"):
        w.lab.unplug(ids)
        status = w.api.wait_state("taps", tap, "degraded", timeout=WAIT)["status"]
        check.that(f"without its monitor the tap is degraded: {status.get('reason')}", ids.name in status.get("reason", ""), status)
        sent = some(mixed(udp(web, far), broadcast(web)), 50)
        exchange(check, "without its monitor", [(web, sent)], {far: ("the target's traffic goes on", sent)})
        w.lab.plug(ids, back_on)
        w.wait_port(ids)
        w.wait_tap(tap, web, ids)
        exact(check, f"the monitor is back, on {back_on}", web, far, ids, count=50)


def off_and_on_again(w, check):
    """A PUT turns a tap off and on again."""
    w.network("shop")
    web, far = w.vms("shop", ("web", "n1"), ("far", "n2"))
    ids, = w.monitors(("ids", "n3"))
    before = w.at_rest()
    tap = w.tap(web, ids)
    exact(check, "enabled", web, far, ids, count=50)
    spec = {k: v for k, v in w.api.get("taps", tap).items() if k not in ("status", "revision", "created_at", "updated_at")}
    got = w.api.replace("taps", tap, dict(spec, enabled=False), wait=WAIT)
    check.equal("turned off: its state", "disabled", got["status"]["state"])
    sent = some(mixed(udp(web, far), broadcast(web)), 50)
    exchange(check, "turned off", [(web, sent)], {far: ("the target's traffic goes on", sent), ids: ("no copy", [])})
    check.equal("turned off: the switches are as before it came", before, w.lab.snapshot())
    got = w.api.replace("taps", tap, dict(spec, enabled=True), wait=WAIT)
    check.equal("turned on again: its state", "active", got["status"]["state"])
    exact(check, "turned on again", web, far, ids, count=50)


STORIES = [a_monitor_that_moves, a_monitor_that_comes_back, off_and_on_again]
