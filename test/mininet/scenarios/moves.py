"""Moves of targets and monitors under 1,000 numbered frames a second each way: live migration, suspend and resume, a new IP."""

import contextlib
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import frames
from craft import craft
from scenarios.migration import BESIDE, SLACK, migration_problems, resumed, uncopied, unplugging_hurts
from scenarios.redirect import inline, link
from traffic import Captures, Sender
from world import WAIT, NotReady, mixed, sending, tcp, udp

FEW = 500  # frames before and after


class Shop:
    """web talks with far; both directions are copied or redirected to ids."""

    def __init__(self, w, check, action, **web):
        self.w, self.check, self.action = w, check, action
        w.network("shop")
        self.web, self.far = w.vms("shop", ("web", "n1", web), ("far", "n2"))
        self.ids, = w.monitors(("ids", "n3"))
        self.tap = w.tap(self.web, self.ids, action=action)

    def settled(self):
        """Wait until everything is in force where it is."""
        for vm in (self.web, self.far, self.ids):
            self.w.wait_port(vm)
        self.w.wait_tap(self.tap, self.web, self.ids)

    def under(self, title, change, monitor_away=False):
        """Make a change under traffic, and account for every frame."""
        web, far, ids = self.web, self.far, self.ids
        hurts = monitor_away or unplugging_hurts(web, ids)
        with Captures(web, far, ids) as at:
            with sending(web, both_kinds(web, far), unplugged=True) as out, sending(far, both_kinds(far, web), unplugged=True) as into:
                for s in (out, into):
                    s.wait_sent(FEW)
                first = out.next, into.next
                change()
                self.settled()
                hurts |= unplugging_hurts(web, ids)
                last = out.next, into.next
                back = resumed(at, out, web, far) and resumed(at, into, far, web)
                for s in (out, into):
                    s.wait_more(FEW)
                    s.stop()
            at.settle()
        self.check.that(f"{self.action}, {title}: traffic flows again", back)
        for n, (what, sender, traffic, receiver) in enumerate((("out", web, out, far), ("in", far, into, web))):
            spared = range(first[n] - SLACK, last[n] + 1) if hurts else ()
            self.account(f"{title}, {what}", traffic.sent, by(sender, at[receiver].frames), by(sender, at[ids].frames), spared,
                         float("inf") if monitor_away else BESIDE)

    def account(self, title, sent, received, seen, spared=(), most=float("inf")):
        """What arrived was at the monitor exactly once. spared: numbers of frames whose copies may be lost, for want of a monitor or beside an unplugged port; most: of them."""
        lost = uncopied(received, seen, spared) if self.action == "forward" else set()
        problems = migration_problems(sent, [f for f in received if f not in lost], seen)
        if len(lost) > most:
            problems += f"\n{len(lost)} copies lost beside an unplugged port"
        gap = longest_gap(received)
        self.check.that(f"{self.action}, {title}: each of {len(received)} frames that arrived was at the monitor exactly once "
                        f"({len(sent) - len(received)} lost, the longest gap {gap} ms; {len(lost)} while the monitor was away, or a port beside it went)",
                        not problems and len(received) >= FEW, problems)


def both_kinds(a, b):
    return mixed(udp(a, b), tcp(a, b, v6=True))


def by(vm, got):
    own = frames.mac(vm.mac)
    return [f for f in got if f[6:12] == own]


def longest_gap(received):
    """Frames, which is milliseconds at this rate, between two that arrived one after the other."""
    numbers = sorted({frames.number(f) for f in received})
    return max((b - a - 1 for a, b in zip(numbers, numbers[1:])), default=0)


@contextlib.contextmanager
def shop(w, check, action, **web):
    s = Shop(w, check, action, **web)
    with inline(w, (s.ids, s.ids)) if action == "redirect" else contextlib.nullcontext():
        yield s


def for_each_action(story):
    """A story for copies and one for redirects."""
    def stories():
        for action in ("forward", "redirect"):
            def one(w, check, action=action):
                with shop(w, check, action) as s:
                    story(w, check, s)
            one.__name__, one.__doc__ = f"{story.__name__}_{action}", story.__doc__
            yield one
    return stories()


def moves(w, check, s):
    """The target moves, the monitor moves, both move in the same moment."""
    s.under("target to n4", lambda: w.lab.migrate(s.web, "n4"))
    s.under("target to the monitor's node", lambda: w.lab.migrate(s.web, "n3"))
    s.under("target to its peer's node", lambda: w.lab.migrate(s.web, "n2"))
    s.under("monitor to the target's node", lambda: w.lab.migrate(s.ids, "n2"), monitor_away=True)
    s.under("monitor to n3", lambda: w.lab.migrate(s.ids, "n3"), monitor_away=True)

    def both(web, ids):
        with ThreadPoolExecutor(2) as at_once:
            for moved in [at_once.submit(w.lab.migrate, vm, node) for vm, node in ((s.web, web), (s.ids, ids))]:
                moved.result()

    s.under("both at once", lambda: both("n1", "n4"), monitor_away=True)
    s.under("both at once, each to where the other was", lambda: both("n4", "n1"), monitor_away=True)
    s.under("both at once, to one node", lambda: both("n3", "n3"), monitor_away=True)


def suspended(w, check, s):
    """Suspend and resume: unplugged for a while, without a link for a while, on the same node."""
    def unplugged(vm):
        node = vm.node
        w.lab.unplug(vm)
        w.api.wait_state("ports", vm.name, "down", timeout=WAIT)
        reason = w.api.wait_state("taps", s.tap, "degraded", timeout=WAIT)["status"]["reason"]
        check.that(f"{vm.name} unplugged: {reason}", vm.name in reason)
        w.lab.plug(vm, node)

    def without_link(vm, reason):
        link(vm, "down")
        w.api.wait_state("ports", vm.name, "down", timeout=WAIT)
        status = w.api.wait_state("taps", s.tap, "degraded", timeout=WAIT)["status"]
        check.equal(f"{vm.name} without a link: the tap says so", reason, status["reason"])
        link(vm, "up")

    s.under("target suspended", lambda: unplugged(s.web))
    s.under("monitor suspended", lambda: unplugged(s.ids), monitor_away=True)
    s.under("target without a link", lambda: without_link(s.web, "port web is down"))
    s.under("monitor without a link", lambda: without_link(s.ids, "monitor ids's port is down"), monitor_away=True)


def twin(w, vm, node):
    """The VM's other self, which a live migration makes on the node to go to: the same interface name, MAC and addresses."""
    return w.lab.add_vms([dict(name=f"{vm.name}-2", interface=vm.interface, node=node, mac=vm.mac, ips=vm.ips, quiet=True)])[0]


def live(w, check, s):
    """The target exists on two nodes for a while: the old one serves until the new one sends, or the old one goes."""
    web, far, ids = s.web, s.far, s.ids
    for node, speaks in (("n4", True), ("n3", True), ("n2", True), ("n4", False)):
        title = f"{web.node.name} to {node}, {'and speaks there' if speaks else 'and is silent there'}"
        new = twin(w, web, node)
        w.api.wait_state("ports", "web", "migrating", timeout=WAIT, also=lambda p, at=web.node.name: p["status"]["node"] == at)
        check.equal(f"{s.action}, {title}: the tap is active meanwhile", "active",
                    w.api.wait_state("taps", s.tap, "active", timeout=WAIT, also=lambda t, at=web.node.name: t["status"]["src_node"] == at)["status"]["state"])
        with Captures(web, new, far, ids) as at:
            with sending(far, both_kinds(far, web)) as into:
                with sending(web, both_kinds(web, far)) as out:
                    out.wait_sent(FEW)
                    into.wait_sent(FEW)
                    out.stop()
                check.that(f"{s.action}, {title}: the last frame from the old place arrives", at[far].wait_until(lambda f, last=out.sent[-1]: f == last, WAIT))
                check.none(f"{s.action}, {title}: before it speaks nothing goes to the new place", at[new].frames)
                base, begun, begin = out.next, into.next, time.monotonic()
                make = both_kinds(web, far)
                with Sender(new, lambda n, make=make, base=base: make(base + n)) if speaks else contextlib.nullcontext() as more:
                    if not speaks:
                        w.lab.unplug(web)
                    back = at[new].wait_until(lambda f: True, WAIT)
                    took = time.monotonic() - begin
                    first = None
                    if speaks:
                        more.wait_sent(FEW)
                        old = len(at[web].frames)
                        w.api.wait_state("ports", "web", "migrating", timeout=WAIT, also=lambda p, at=node: p["status"]["node"] == at)
                        w.wait_tap(s.tap, new, ids)
                        stays = len(at[web].frames)
                        into.wait_more(FEW)
                        check.that(f"{s.action}, {title}: the old place gets nothing any more", len(at[web].frames) - stays <= 5, (old, stays, len(at[web].frames)))
                        first = base + more.next, into.next
                        w.lab.unplug(web)
                    w.api.wait_state("ports", "web", "active", timeout=WAIT, also=lambda p, at=node: p["status"]["node"] == at)
                    w.wait_tap(s.tap, new, ids)
                    last = base + (more.next if speaks else 0), into.next
                    into.wait_more(FEW)
                    if speaks:
                        more.wait_more(FEW)
                        more.stop()
                into.stop()
            at.settle()
        sent = out.sent + (more.sent if speaks else [])
        check.that(f"{s.action}, {title}: frames came to it {took * 1000:.0f} ms later", back)
        spared = [range(a - SLACK, b + 1) for a, b in zip(first or (base, begun), last)] if unplugging_hurts(web, ids) else [(), ()]
        s.account(f"{title}, out", sent, by(web, at[far].frames), by(web, at[ids].frames), spared[0], BESIDE)
        s.account(f"{title}, in", into.sent, by(far, at[web].frames + at[new].frames), by(far, at[ids].frames), spared[1], BESIDE)
        before = [frames.number(f) for f in at[web].frames]
        after = [frames.number(f) for f in at[new].frames]
        check.that(f"{s.action}, {title}: in the one place, then in the other", not set(before) & set(after) and max(before) < min(after))
        w.lab.remove_vm(web)
        web = s.web = rename(w, new, "web")


def rename(w, vm, name):
    """The VM goes on under its old name."""
    del w.lab.vms[vm.name]
    w.lab.net.nameToNode.pop(vm.name)
    vm.name = name
    w.lab.vms[name] = w.lab.net.nameToNode[name] = vm
    return vm


def live_monitor(w, check, s):
    """The monitor exists on two nodes for a while: the old one serves until it goes."""
    ids = s.ids
    for node in ("n4", "n1", "n2"):
        new = twin(w, ids, node)
        w.api.wait_state("ports", "ids", "migrating", timeout=WAIT, also=lambda p: p["status"]["node"] == ids.node.name)
        with contextlib.ExitStack() as stack:
            if s.action == "redirect":
                stack.enter_context(inline(w, (new, new), file="second"))
            with Captures(s.web, s.far, ids, new) as at:
                with sending(s.web, both_kinds(s.web, s.far)) as out, sending(s.far, both_kinds(s.far, s.web)) as into:
                    out.wait_sent(FEW)
                    check.none(f"{s.action}, monitor to {node}: the old one serves", at[new].frames)
                    first = out.next, into.next
                    w.lab.unplug(ids)
                    w.api.wait_state("ports", "ids", "active", timeout=WAIT, also=lambda p, at=node: p["status"]["node"] == at)
                    w.wait_tap(s.tap, s.web, new)
                    last = out.next, into.next
                    out.wait_more(FEW)
                    into.wait_more(FEW)
                    out.stop()
                    into.stop()
                at.settle()
            for n, (what, sender, traffic, receiver) in enumerate((("out", s.web, out, s.far), ("in", s.far, into, s.web))):
                s.account(f"monitor to {node}, {what}", traffic.sent, by(sender, at[receiver].frames),
                          by(sender, at[ids].frames + at[new].frames), range(first[n] - SLACK, last[n] + 1))
            if s.action == "redirect":
                w.lab.remove_vm(ids)
                break  # its program is bound to the first one
        w.lab.remove_vm(ids)
        ids = s.ids = rename(w, new, "ids")


def a_new_ip(w, check):
    """A VM whose IPs nobody declares takes another one: its frames under that one are under contract from the first on."""
    for action in ("forward", "redirect"):
        with shop(w, check, action, undeclared=("ips",)) as s:
            web, far = s.web, s.far
            announce(web, far)
            s.under("learned addresses", lambda: None)
            web.ips[:] = ["10.0.0.77", "fd00::77"]
            s.under("a new IP, from its first frame", lambda: None)
            announce(web, far)
            w.api.wait_state("ports", "web", "active", also=lambda p: "10.0.0.77" in p["status"].get("learned_ips", []))
            s.under("a new IP, learned", lambda: None)
            s.under("a new IP, moved", lambda: w.lab.migrate(s.web, "n4"))
        w.reset()


def announce(vm, peer):
    """An ARP request, by which an address is learned; it has arrived."""
    request = craft("arp", vm, peer, 0, dl_dst=frames.BROADCAST)
    with Captures(peer) as at:
        Sender(vm, lambda n: request, 1).start().join()
        if not at[peer].wait_until(lambda f: f == request, WAIT):
            raise NotReady(f"an ARP request of {vm.name} does not reach {peer.name}")


STORIES = [*for_each_action(moves), *for_each_action(suspended), *for_each_action(live), *for_each_action(live_monitor), a_new_ip]
globals().update({story.__name__: story for story in STORIES})  # a story is called by its name
