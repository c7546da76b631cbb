"""Nothing escapes: numbered frames through random changes, each accounted for at its receiver and at its monitor.

run.py --changes 200 --seed 7 escape
"""

import contextlib
import os
import random
import time
from collections import Counter, defaultdict

import frames
import netns
from inline import Inline
from scenarios.migration import BESIDE, unplugging_hurts
from topo import run
from traffic import Captures
from world import WAIT, mixed, sending, tcp, udp

RATE = 1000  # frames a second each way
SLACK = 400  # frames: what may still be under way when a monitor is taken from its switch
SHORT = 0.05  # seconds between changes


def nothing_escapes(w, check):
    """What web sends is redirected and what it receives copied, or the reverse, while everything changes under them."""
    seed = w.seed if w.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"     {w.changes} changes, --seed {seed}", flush=True)
    story = Story(w, random.Random(seed))
    try:
        with Captures(story.web, story.far, *story.monitors) as at:
            story.run(at, w.changes)
            at.settle()
            story.judge(check, at)
    finally:
        for program in story.programs.values():
            program.stop()


class Flow:
    """What goes from one VM to another, and the taps that it has had: a redirect or copies."""

    def __init__(self, kind, sender, receiver, direction):
        self.kind, self.sender, self.receiver = kind, sender, receiver
        self.direction = direction  # in which the target, always web, sees it
        self.lives = []
        self.traffic = None  # its Sender
        self.arrived = None  # its receiver's Capture
        self.tap = self.monitor = None

    def begun(self):
        """Every frame from this number on was sent after now."""
        return self.traffic.next

    def done(self, slack=0):
        """Every frame below this number was received before now, if it ever will be."""
        for frame in reversed(self.arrived.frames[-50:]):
            n = frames.number(frame)
            if n is not None and frame[6:12] == frames.mac(self.sender.mac):
                return max(0, n + 1 - slack)
        return 0


class Life:
    """One tap, by frame numbers: may apply from posted, must from active, must no more from deleting, may not from deleted."""

    def __init__(self, posted):
        self.posted, self.active, self.deleting, self.deleted = posted, None, None, None
        self.changes = []  # (from, to): its monitor is being exchanged for another
        self.gone = []  # (from, to): its monitor is not there, or its link is down
        self.beside = []  # (from, to): a port beside its monitor, or beside its target, is unplugged or plugged in


class Story:
    def __init__(self, w, rng):
        self.w, self.rng, self.log = w, rng, []
        w.network("shop")
        self.web, self.far, self.near = w.vms("shop", ("web", "n1"), ("far", "n2"), ("near", "n1"))
        self.ips = w.monitors(("ips1", "n3"), ("ips2", "n1"))
        self.ids = w.monitors(("ids1", "n3"), ("ids2", "n2"))
        self.monitors = self.ips + self.ids
        self.programs = {m.name: Inline((m, m), capture=os.path.join(w.lab.directory, f"escape-{m.name}")) for m in self.ips}
        kinds = rng.sample(("redirect", "forward"), 2)  # which way is redirected, and which copied
        self.flows = Flow(kinds[0], self.web, self.far, "out"), Flow(kinds[1], self.far, self.web, "in")

    def run(self, at, changes):
        """Make the changes under traffic."""
        out, into = (mixed(udp(f.sender, f.receiver), tcp(f.sender, f.receiver, v6=True), udp(f.sender, f.receiver, size=frames.FULL)) for f in self.flows)
        with sending(self.web, out, RATE, unplugged=True) as a, sending(self.far, into, RATE, unplugged=True) as b:
            for flow, traffic, vm in zip(self.flows, (a, b), (self.far, self.web)):
                flow.traffic, flow.arrived = traffic, at[vm]
            a.wait_sent(100)
            b.wait_sent(100)
            for flow in self.flows:
                self.toggle(flow)
            for n in range(changes):
                change = self.rng.choice(CHANGES)
                self.log.append((n, a.next, b.next, change.__name__))
                begin = time.monotonic()
                what = change(self)
                self.log[-1] += (what, f"{time.monotonic() - begin:.2f} s")
                time.sleep(SHORT)  # traffic, not synchronisation
            for flow in self.flows:
                if flow.tap:
                    self.toggle(flow)
            a.wait_more(50)
            b.wait_more(50)
            a.stop()
            b.stop()

    # Changes. Each waits until it is in force, and says what it did.

    def toggle(self, flow):
        if flow.tap:
            life = flow.lives[-1]
            life.deleting = flow.done()
            self.w.untap(flow.tap)
            life.deleted = flow.begun()
            flow.tap = None
            return f"{flow.kind} deleted"
        flow.monitor = self.rng.choice(self.ips if flow.kind == "redirect" else self.ids)
        life = Life(flow.done())
        flow.tap = self.w.tap(self.web, flow.monitor, direction=flow.direction, action=flow.kind, priority=self.rng.randrange(1000), until_active=True)
        life.active = flow.begun()
        flow.lives.append(life)
        return f"{flow.kind} to {flow.monitor.name}"

    def toggle_one(self):
        return self.toggle(self.rng.choice(self.flows))

    def change(self):
        """Another monitor or another priority."""
        flow = self.rng.choice(self.flows)
        if not flow.tap:
            return self.toggle(flow)
        got = self.w.api.get("taps", flow.tap)
        body = {k: v for k, v in got.items() if k not in ("status", "revision", "created_at", "updated_at")}
        moved = self.rng.random() < 0.7
        if moved:
            flow.monitor = next(m for m in (self.ips if flow.kind == "redirect" else self.ids) if m is not flow.monitor)
            begin = flow.done()
        body |= {"dst": flow.monitor.name, "priority": self.rng.randrange(1000)}
        self.w.api.replace("taps", flow.tap, body, wait=WAIT)
        self.settled()
        if moved:
            flow.lives[-1].changes.append((begin, flow.begun()))
        return f"{flow.kind} now to {flow.monitor.name}"

    def settled(self):
        """Wait until everything is in force where it is."""
        for vm in (self.web, self.far, *self.monitors):
            self.w.wait_port(vm)
        for flow in self.flows:
            if flow.tap:
                self.w.wait_tap(flow.tap, self.web, flow.monitor)

    def move(self, vm):
        node = self.rng.choice([n for n in self.w.lab.nodes if n != vm.node.name])
        with self.away(vm, unplugged=True):
            self.w.lab.migrate(vm, node)
            self.settled()
        return f"{vm.name} to {node}"

    def move_target(self):
        return self.move(self.rng.choice((self.web, self.far)))

    def move_monitor(self):
        return self.move(self.rng.choice(self.monitors))

    @contextlib.contextmanager
    def away(self, vm, unplugged=False):
        """While vm cannot receive: copies to it are lost, or what is redirected to it; beside an unplugged port, some are."""
        concerned = [(f, f.done(SLACK), self.hurts(vm, f)) for f in self.flows if f.tap]
        yield
        for flow, begin, hurts in concerned:
            life = flow.lives[-1]
            if flow.monitor is vm:
                life.gone.append((begin, flow.begun()))
            elif unplugged and (hurts or self.hurts(vm, flow)):
                life.beside.append((begin, flow.begun()))

    def hurts(self, vm, flow):
        """Whether to unplug vm or plug it in where it is may cost copies, at the monitor's node or at the target's, where they are made."""
        return unplugging_hurts(vm, flow.monitor) or vm is not self.web and vm.node is self.web.node

    def link_down_and_up(self):
        vm = self.rng.choice((self.web, self.far, *self.monitors))
        with self.away(vm):
            for state in ("down", "up"):
                run(netns.inside(vm.pid, "ip", "link", "set", "eth0", state))
                time.sleep(SHORT)
            self.settled()
        return vm.name

    def unplug_and_plug(self):
        vm = self.rng.choice((self.web, self.far, *self.monitors))
        with self.away(vm, unplugged=True):
            node = vm.node
            self.w.lab.unplug(vm)
            time.sleep(SHORT)
            self.w.lab.plug(vm, node)
            self.settled()
        return vm.name

    def kill_controller(self):
        self.w.flowtapd.kill()
        time.sleep(self.rng.random())
        self.w.flowtapd.start()
        self.w.wait_connected()
        self.settled()
        return "killed and started"

    def kill_controller_at_work(self):
        """Killed right after it acknowledged something, and started again."""
        flow = self.rng.choice(self.flows)
        if not flow.tap:
            return self.toggle(flow)
        life = flow.lives[-1]
        life.deleting = flow.done()
        self.w.api.delete("taps", flow.tap)
        self.w.flowtapd.kill()
        self.w.flowtapd.start()
        self.w.wait_connected()
        flow.tap = None
        self.settled()
        self.w.at_rest()
        life.deleted = flow.begun()
        return f"{flow.kind} deleted, killed"

    # Judgement.

    def judge(self, check, at):
        inspected = Counter()
        for m in self.ips:
            inspected.update(self.programs[m.name].numbered)
        copies = Counter(f for m in self.ids for f in at[m].frames)
        for flow in self.flows:
            seen = inspected if flow.kind == "redirect" else copies
            self.judge_flow(check, flow, seen)
        strays = [f for f in copies if f[6:12] not in (frames.mac(self.web.mac), frames.mac(self.far.mac))]
        check.none("nothing else is at a copying monitor", strays)
        lost = {m.name: self.programs[m.name].counts["overrun"] for m in self.ips}
        check.that("no inline monitor was overrun", not any(lost.values()), lost)
        slow = Counter(entry[3] for entry in self.log)
        print(f"     {sum(len(f.lives) for f in self.flows)} lives of taps; " + ", ".join(f"{n} {name}" for name, n in sorted(slow.items())), flush=True)

    def judge_flow(self, check, flow, seen):
        own = frames.mac(flow.sender.mac)
        arrived = Counter(f for f in flow.arrived.frames if f[6:12] == own)
        wrong = defaultdict(list)
        watched = through = 0
        lost = defaultdict(list)  # beside an unplugged port, by when that was
        for n, frame in enumerate(numbered(flow.traffic.sent)):
            if frame is None:
                continue
            times, at_monitor = arrived.pop(frame, 0), seen[frame]
            must, may, loose, gone, beside = self.span(flow, n)
            watched += must
            through += bool(must and times)
            if times > 1:
                wrong["arrived more than once"].append(n)
            if at_monitor > 1 + loose:
                wrong["was at a monitor more than once"].append(n)
            if times and must and not at_monitor and not (gone and flow.kind == "forward"):
                if beside and flow.kind == "forward":
                    lost[beside].append(n)
                else:
                    wrong["escaped"].append(n)
            if at_monitor and not may:
                wrong["was at a monitor without a tap"].append(n)
        for ns in lost.values():
            if len(ns) > BESIDE:
                wrong["escaped, more than beside an unplugged port"] += ns
        details = [f"{what}: {self.describe(flow, ns)}" for what, ns in wrong.items()] + ([f"altered: {len(arrived)} frames"] if arrived else [])
        name = {"redirect": "no redirected frame arrived without having been at the monitor, none twice",
                "forward": "every delivered frame of the copied flow was copied exactly once"}[flow.kind]
        check.that(f"{name} ({watched:,} of {len(flow.traffic.sent):,} frames under contract, {through:,} delivered; "
                   f"{sum(map(len, lost.values()))} copies lost beside an unplugged port)", not details, "\n".join(details))
        check.that(f"{flow.kind}: frames under contract were delivered", through > 0)

    @staticmethod
    def span(flow, n):
        """Whether a tap must have frame n, may have it, is being given another monitor, lacks its monitor, and when a port beside that was unplugged."""
        must = may = loose = gone = False
        beside = None
        for life in flow.lives:
            end = life.deleting if life.deleting is not None else float("inf")
            last = life.deleted if life.deleted is not None else float("inf")
            must |= life.active <= n < end
            may |= life.posted <= n < last
            loose |= any(a <= n < b for a, b in life.changes)
            gone |= any(a <= n < b for a, b in life.gone)
            beside = next(((a, b) for a, b in life.beside if a <= n < b), beside)
        return must, may, loose, gone, beside

    def describe(self, flow, ns):
        """The frames, and what was going on when they were sent."""
        column = 1 + self.flows.index(flow)
        during = Counter()
        for n in ns:
            before = [e for e in self.log if e[column] <= n]
            during[str(before[-1]) if before else "the beginning"] += 1
        return f"{len(ns)} frames, {ns[0]} to {ns[-1]}" + "".join(f"\n  {count} during or after {e}" for e, count in list(during.items())[:8])


def numbered(sent):
    """The frames by their numbers; None for one that the interface refused."""
    out = []
    for frame in sent:
        n = frames.number(frame)
        out += [None] * (n - len(out)) + [frame]
    return out


CHANGES = [Story.toggle_one, Story.toggle_one, Story.change, Story.change, Story.move_target, Story.move_target, Story.move_monitor, Story.move_monitor,
           Story.link_down_and_up, Story.unplug_and_plug, Story.kill_controller, Story.kill_controller_at_work]

STORIES = [nothing_escapes]
