"""Every field of a match: a frame that has it is copied once, one that differs in it alone is not.

Each case of fieldcases.py is tried in both directions, with the monitor on the same node and on another, with
the peer on the same node and on another, and as `both`. Many are tried at once, each with targets
of its own; frames are told apart by their numbers.
"""

import itertools
import re
import time
from collections import Counter, namedtuple

import frames
from craft import REPLY, craft
from fieldcases import CASES
from traffic import Captures, send
from world import WAIT, NotReady

A_ROUND = 20  # cases tried at once


def what_a_frame_says(w, check):
    """Every field that stands in the frame itself."""
    w.network("shop")
    near, far = w.vms("shop", ("near", "n1"), ("far", "n2"))
    # Targets may send under any address: a match on the sender's address must tell, not the guard.
    free = {"port_security": False}
    targets = w.vms("shop", *((f"t{i}", "n1", free) for i in range(3 * A_ROUND)), warm=False)
    for vm in (near, far):
        w.api.replace("ports", vm.name, dict(spec(w, "ports", vm.name), port_security=False), wait=WAIT)
    here, there = w.monitors(("here", "n1"), ("there", "n3"))
    numbers = itertools.count(1)
    for first in range(0, len(CASES), A_ROUND):
        trials = [Trial(case, targets[3 * i:3 * i + 3], near, far, here, there, numbers, i % 2)
                  for i, case in enumerate(CASES[first:first + A_ROUND])]
        tapped = [tap for trial in trials for tap in trial.taps]
        ids = make(w, tapped)
        run(check, trials, here, there)
        for id in ids[:-1]:
            w.api.delete("taps", id)
        w.untap(ids[-1])


Sent = namedtuple("Sent", "frame sender receiver monitor what")  # monitor: the one to get a copy, or None


class Trial:
    """One case with three targets: out here and in there, the other way round, and both."""

    def __init__(self, case, targets, near, far, here, there, numbers, odd):
        self.case, self.numbers = case, numbers
        one, two, three = targets
        third = (here, there)[odd]
        self.taps = [(one, here, case.match, "out"), (one, there, case.match, "in"),
                     (two, there, case.match, "out"), (two, here, case.match, "in"), (three, third, case.match, "both")]
        self.sent = [*self.between(one, near, "out, local monitor, local peer", here),
                     *self.between(near, one, "in, remote monitor, local peer", there),
                     *self.between(two, far, "out, remote monitor, remote peer", there),
                     *self.between(far, two, "in, local monitor, remote peer", here)]
        for spelling in {case.field, REPLY.get(case.field, case.field)} if not case.fixed else {case.field}:
            self.sent += self.between(three, far, f"both, out, {spelling}", third, spelling)
            self.sent += self.between(far, three, f"both, in, {spelling}", third, spelling)

    def between(self, a, b, where, monitor, spelling=None):
        """Frames from a to b, those with a yes and those with a no."""
        field = spelling or self.case.field
        for values, to in ((self.case.yes, monitor), (self.case.no, None)):
            for value in values:
                for kind in [value] if field == "kind" else self.case.kinds:
                    fields = dict(self.case.fixed)
                    if field != "kind" and value is not None:
                        fields[field] = value
                    yield Sent(craft(kind, a, b, next(self.numbers), **fields), a, b, to, f"{where}, {kind} with {field} {shown(value)}")

    def __str__(self):
        c = self.case
        fixed = "".join(f", {k} {shown(v)}" for k, v in c.fixed.items())
        return f"{c.match}: {c.field} {', '.join(map(shown, c.yes))}" + (f"; not {', '.join(map(shown, c.no))}" if c.no else "") + \
            (f" ({' '.join(c.kinds)}{fixed})" if c.kinds else f" ({fixed[2:]})" if fixed else "")


def shown(value):
    return "none" if value in (None, False) and value != 0 or value is False else str(value)


def run(check, trials, here, there):
    """Send everything, and account for every frame at every monitor and receiver."""
    sent = [s for trial in trials for s in trial.sent]
    receivers = {s.receiver.name: s.receiver for s in sent}
    by_sender = {}
    for s in sent:
        by_sender.setdefault(s.sender.name, []).append(s)
    with Captures(here, there, *receivers.values()) as at:
        for batch in by_sender.values():
            send(batch[0].sender, [s.frame for s in batch], rate=2000)
        settle(at, {m: sum(s.monitor is m for s in sent) for m in (here, there)})
    copies = {m: Counter(at[m].frames) for m in (here, there)}
    arrived = {name: Counter(at[name].frames) for name in receivers}
    for trial in trials:
        account(check, f"{trial}", trial.sent, copies, arrived)
    strays = [f"{at}: {frames.describe(f)}" for at, seen in [*((m.name, c) for m, c in copies.items()), *arrived.items()] for f in seen]
    check.that("no frame that nobody sent, or that was changed", not strays, "\n".join(strays[:20]))


def settle(at, wanted):
    """Wait for as many frames as each VM should get, and for what should not be there."""
    for vm, count in wanted.items():
        at[vm].wait_for(count, timeout=2.0)
    at.settle(quiet=0.15)


def account(check, what, sent, copies, arrived):
    """Take the sent frames out of what monitors and receivers got: each received once, copied once or not at all."""
    problems = []
    for s in sent:
        if arrived[s.receiver.name].pop(s.frame, 0) != 1:
            problems.append(f"{s.what}: did not arrive once, {frames.describe(s.frame)}")
        for monitor in copies:
            got = copies[monitor].pop(s.frame, 0)
            if got != (s.monitor is monitor):
                problems.append(f"{s.what}: copied {got} times to {monitor.name}, {frames.describe(s.frame)}")
    if len(problems) > 12:
        problems = problems[:11] + [f"... {len(problems)} in all"]
    check.that(f"{what} ({len(sent)} frames)", not problems, "\n".join(problems))


def make(w, wanted):
    """Taps, all at once: (source, monitor, match, direction). Waits until all are active."""
    ids = [w.tap(src, dst, match, direction, wait=None, state="pending") for src, dst, match, direction in wanted]
    wait_active(w, ids)
    return ids


def wait_active(w, ids):
    deadline = time.monotonic() + WAIT
    while True:
        states = {t["id"]: t["status"] for t in w.api.list("taps")}
        waiting = [states[i] for i in ids if states[i]["state"] != "active"]
        if not waiting:
            return
        if time.monotonic() > deadline:
            raise NotReady(f"{len(waiting)} taps are not active after {WAIT} s; one of them: {waiting[0]}")
        time.sleep(0.02)


def spec(w, collection, id):
    """An object without what the server adds."""
    return {k: v for k, v in w.api.get(collection, id).items() if k not in ("status", "revision", "created_at", "updated_at")}


# What stands beside the frame: where it came from, and what was said about that.

HERE, THERE = "172.16.0.1", "172.16.0.2"  # tunnel addresses of n1 and n2
METADATA = {"near": "0x5", "near2": "0x6", "far": "0x5", "third": "0xfedcba9876543210"}
TUNNELLED = {"far", "far2", "third"}
EVERYONE = {"near", "near2"} | TUNNELLED
ORIGINS = {  # of frames delivered on n1: match, senders whose frames have it. LABEL is the network's
    "in_port=near": {"near"}, "in_port=far": {"far"}, "in_port=third,udp": {"third"},
    "metadata=0x5": {"near", "far"}, "metadata=0x6": {"near2"}, "metadata=0": {"far2"}, "metadata=0x4/0x5": {"near2"},
    "metadata=0xfedcba9876543210": {"third"}, "metadata=0xfedc000000000000/0xffff000000000000": {"third"},
    f"tun_src={THERE}": {"far", "far2"}, "tun_src=172.16.0.3": {"third"}, "tun_src=172.16.0.2/31": TUNNELLED,
    "tun_src=0.0.0.0": {"near", "near2"}, f"tun_dst={HERE}": TUNNELLED, f"tun_dst={THERE}": set(), "tun_dst=0.0.0.0": {"near", "near2"},
    "tun_id=LABEL": TUNNELLED, "tun_id=0": {"near", "near2"}, "tun_id=LABEL/0xffffff": TUNNELLED, "tun_id=0x3fffff": set(),
    "table=in": EVERYONE, **{f"reg{n}=0": EVERYONE for n in range(8, 16)}, **{f"reg{n}=5": set() for n in range(8, 16)},
}
SENT = {  # match, whether what a target with the metadata 0x5 on n1 sends has it
    "metadata=0x5": True, "metadata=0x6": False, "metadata=0x4/0x6": True, "metadata=0": False,
    "in_port=SELF": True, "in_port=near": False, "tun_id=0": True, "tun_id=LABEL": False,
    "tun_src=0.0.0.0": True, f"tun_src={HERE}": False, f"tun_dst={THERE}": False, "table=out": True, "reg8=0": True, "reg15=5": False,
}


def where_a_frame_came_from(w, check):
    """in_port, metadata, tunnels and tap stages, of unicasts; registers are nobody's unless an operator fills them."""
    w.network("shop")
    senders = by_name(w.vms("shop", *((name, node, {"metadata": METADATA.get(name, "0x0")})
                                      for name, node in (("near", "n1"), ("near2", "n1"), ("far", "n2"), ("far2", "n2"), ("third", "n3")))))
    targets = w.vms("shop", *((f"t{i}", "n1", {"metadata": "0x5"}) for i in range(max(len(ORIGINS), len(SENT)))), warm=False)
    here, there, elsewhere = w.monitors(("here", "n1"), ("there", "n3"), ("elsewhere", "n4"))
    label = hex(w.api.get("networks", "shop")["status"]["label"])
    monitors = itertools.cycle((here, there))
    # A sender that is tapped, too, has frames that come under another label: that is not the users' business.
    tapped = [(senders["far"], elsewhere, "tcp", "out")]
    plan = []
    for target, (match, whose) in zip(targets, ORIGINS.items()):
        plan.append((target, next(monitors), match.replace("LABEL", label), "in", {senders[name] for name in whose}))
    for target, (match, has) in zip(targets, SENT.items()):
        plan.append((target, next(monitors), match.replace("LABEL", label).replace("SELF", target.name), "out", {target} if has else set()))
    make(w, tapped + [tap[:4] for tap in plan])
    numbers = itertools.count(1)
    trials = [Origin(*tap, senders.values(), numbers) for tap in plan]
    # The very bytes of another port are not its frames. (n2 cannot tell: there its guard does.)
    w.api.replace("ports", "near2", dict(spec(w, "ports", "near2"), port_security=False), wait=WAIT)
    for trial in trials:
        if trial.match == "in_port=near":
            trial.sent += [Sent(craft("udp", senders["near"], trial.target, next(numbers)), senders["near2"], trial.target, None, "near2 with near's addresses")]
    run(check, trials, here, there)


class Origin:
    """One tap and its target; every sender's frames to it, or its own to all of them."""

    def __init__(self, target, monitor, match, direction, whose, senders, numbers):
        self.target, self.match, self.direction, self.whose = target, match, direction, whose
        pairs = [(target, s) if direction == "out" else (s, target) for s in senders]
        self.sent = [Sent(craft(kind, a, b, next(numbers)), a, b, monitor if a in whose else None, f"{kind} from {a.name} to {b.name}")
                     for a, b in pairs for kind in ("udp", "tcp", "tcp6", "arp", "raw") if kind in ("udp", "tcp") or "udp" not in match]
        if "udp" in match:
            self.sent = [s if " udp " in f" {s.what}" else s._replace(monitor=None) for s in self.sent]

    def __str__(self):
        return f"{self.match}, {self.direction}: frames of {', '.join(sorted(vm.name for vm in self.whose)) or 'nobody'}"


def by_name(vms):
    return {vm.name: vm for vm in vms}


def to_everyone(w, check):
    """The same fields of frames that are flooded: contracts on these are decided on the sender's node."""
    w.network("shop")
    senders = w.vms("shop", *((name, node, {"metadata": METADATA.get(name, "0x0")})
                              for name, node in (("near", "n1"), ("near2", "n1"), ("far", "n2"), ("far2", "n2"), ("third", "n3"))))
    target, other = w.vms("shop", ("target", "n1"), ("other", "n2"), warm=False)
    here, there = w.monitors(("here", "n1"), ("there", "n3"))
    label = hex(w.api.get("networks", "shop")["status"]["label"])
    monitors = itertools.cycle((here, there))
    numbers = itertools.count(1)

    def kinds(a):
        """One frame of each kind from a to everyone."""
        def make(kind, **fields):
            return craft(kind, a, other, next(numbers), **fields)
        return {
            "broadcast": make("udp", dl_dst=frames.BROADCAST), "multicast": make("udp", dl_dst="01:00:5e:00:00:fb", nw_dst="224.0.0.251"),
            "multicast6": make("udp6", dl_dst="33:33:00:00:00:fb", ipv6_dst="ff02::fb"), "arp": make("arp", dl_dst=frames.BROADCAST, arp_tpa="10.1.2.3"),
            "arp2": make("arp", dl_dst=frames.BROADCAST, arp_tpa="10.1.2.4"), "tagged": make("udp", dl_dst=frames.BROADCAST, dl_vlan=42),
            "ns": make("ns", dl_dst="33:33:ff:00:00:01", ipv6_dst="ff02::1:ff00:1", nd_target="fd11::1"),
            "ns2": make("ns", dl_dst="33:33:ff:00:00:01", ipv6_dst="ff02::1:ff00:1", nd_target="fd11::2"),
            "igmp": make("igmp", dl_dst="01:00:5e:00:00:16", nw_dst="224.0.0.22"), "unicast": craft("udp", a, target, next(numbers)),
        }

    all_kinds = {"broadcast", "multicast", "multicast6", "arp", "arp2", "tagged", "ns", "ns2", "igmp", "unicast"}
    cases = [(f"dl_dst={frames.BROADCAST}", EVERYONE, {"broadcast", "arp", "arp2", "tagged"}),
             ("dl_dst=01:00:00:00:00:00/01:00:00:00:00:00", EVERYONE, all_kinds - {"unicast"}),
             ("dl_dst=01:00:5e:00:00:fb", EVERYONE, {"multicast"}), (f"dl_dst={target.mac}", EVERYONE, {"unicast"}),
             ("dl_dst=33:33:00:00:00:00/ff:ff:00:00:00:00", EVERYONE, {"multicast6", "ns", "ns2"}),
             ("arp_tpa=10.1.2.3", EVERYONE, {"arp"}), ("nd_target=fd11::1", EVERYONE, {"ns"}), ("dl_vlan=42", EVERYONE, {"tagged"}),
             ("nw_proto=IGMP", EVERYONE, {"igmp"}), ("nw_dst=224.0.0.0/4", EVERYONE, {"multicast", "igmp"})]
    cases += [(match, ORIGINS[match], all_kinds) for match in
              ("in_port=near", "in_port=far", "metadata=0x5", "metadata=0", "metadata=0x4/0x5", f"tun_src={THERE}", "tun_src=0.0.0.0",
               f"tun_dst={HERE}", "tun_id=LABEL", "tun_id=0", "reg9=0", "reg9=5", "table=in")]
    for match, whose, which in cases:
        monitor = next(monitors)
        match = match.replace("LABEL", label)
        with w.tapped(target, monitor, match, "in"), Captures(here, there, target) as at:
            sent = []
            for a in senders:
                for kind, frame in kinds(a).items():
                    sent.append(Sent(frame, a, target, monitor if a.name in whose and kind in which else None, f"{kind} from {a.name}"))
                send(a, [s.frame for s in sent if s.sender is a], rate=2000)
            settle(at, {target: len(sent), monitor: sum(s.monitor is not None for s in sent)})
            copies, arrived = {m: Counter(at[m].frames) for m in (here, there)}, {target.name: Counter(at[target].frames)}
        account(check, f"{match}, flooded: {' '.join(sorted(which))} of {', '.join(sorted(whose)) or 'nobody'}", sent, copies, arrived)


def what_an_operator_writes_into_registers(w, check):
    """reg8 to reg15 are zero in every frame until flows of an operator's own set them, before the frame is classified."""
    w.network("shop")
    near, far = w.vms("shop", ("near", "n1"), ("far", "n2"))
    targets = w.vms("shop", *((f"t{n}", "n1") for n in range(8, 16)), warm=False)
    here, there = w.monitors(("here", "n1"), ("there", "n3"))
    wanted = [(t, here, f"reg{n}=0x5" if n % 2 else f"reg{n}=0x4/0xc", "out") for n, t in enumerate(targets, 8)]
    wanted += [(t, there, f"reg{n}=0x5" if n % 2 else f"reg{n}=0x4/0xc", "in") for n, t in enumerate(targets, 8)]
    make(w, wanted)
    w.at_rest()
    numbers = itertools.count(1)
    trials = []
    for n, t in enumerate(targets, 8):
        for vm in (t, near):
            mark(w, vm, n, 5)
        other = 8 + (n - 7) % 8
        trials.append(Registers(n, [
            Sent(craft("udp", t, far, next(numbers), tp_dst=n), t, far, here, f"reg{n} set where it is sent"),
            Sent(craft("udp", t, far, next(numbers)), t, far, None, "nothing set"),
            Sent(craft("udp", near, t, next(numbers), tp_dst=n), near, t, there, f"reg{n} set by the sender's node, which is the receiver's"),
            Sent(craft("udp", near, t, next(numbers), tp_dst=other), near, t, None, f"reg{other} set"),
            Sent(craft("udp", near, t, next(numbers)), near, t, None, "nothing set"),
            Sent(craft("udp", far, t, next(numbers), tp_dst=n), far, t, None, "sent from another node: registers do not travel")]))
    run(check, trials, here, there)
    w.lab.ofctl("n1", "del-flows", "cookie=0x77/-1")


class Registers:
    def __init__(self, n, sent):
        self.n, self.sent = n, sent

    def __str__(self):
        return f"reg{self.n}, filled by an operator's flow, out and in"


def mark(w, vm, n, value):
    """An operator's flow: UDP to port n from a VM has a value in register n, and is then classified as all its frames are."""
    own = w.lab.entering(vm)
    found = [re.search(rf"table=0, .*priority=100,{own} actions=(.*)", f.text) for f in w.lab.flows("n1")]
    actions, = [f[1] for f in found if f]
    w.lab.ofctl("n1", "add-flow", f"cookie=0x77,table=0,priority=150,{own},udp,tp_dst={n},actions=set_field:{value}->reg{n},{actions}")


STORIES = [what_a_frame_says, where_a_frame_came_from, to_everyone, what_an_operator_writes_into_registers]
