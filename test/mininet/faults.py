"""What the chaos scenario does to a cluster: each fault begins, holds for a while and ends.

A fault is a context manager's worth of harm: `begin` does it, `end` undoes it. None touches anything
beyond the cluster's own namespaces and processes. Any may meet any other: a process that is to be
stopped may be dead already.
"""

import contextlib
import time

import clock
import netns
from topo import run


class Fault:
    """One fault. str() says what it is."""

    def __init__(self, what, begin, end):
        self.what, self.begin, self.end = what, begin, end
        self.since = self.until = None

    def __str__(self):
        return self.what


def killed(machine):
    """kill -9, and started again at the end."""
    def end():
        if not machine.running:
            machine.start()
    return Fault(f"kill -9 {machine}", machine.kill, end)


def restarted(machine):
    """kill -9, and started again at once."""
    def begin():
        machine.kill()
        machine.start()
    return Fault(f"kill -9 {machine}, started at once", begin, lambda: None)


def stopped(machine):
    """SIGSTOP, and SIGCONT at the end."""
    return Fault(f"SIGSTOP {machine}", machine.stop, machine.go_on)


def all_killed(machines):
    """kill -9 of all at once."""
    each = [killed(m) for m in machines]
    return Fault(f"kill -9 {', '.join(map(str, machines))}", lambda: [f.begin() for f in each], lambda: [f.end() for f in each])


class Filter:
    """What a machine's own namespace drops, by nftables: packets from and to addresses."""

    TABLE = "inet chaos"

    def __init__(self, machine):
        self.machine = machine
        self._rules = []  # of all faults at present

    def add(self, rules):
        self._rules.append(rules)
        self._load()

    def remove(self, rules):
        self._rules.remove(rules)
        self._load()

    def _load(self):
        def chain(hook):
            body = "".join(f"{rule} drop\n" for rules in self._rules for at, rule in rules if at == hook)
            return f"chain {hook} {{ type filter hook {hook} priority 0;\n{body}}}\n"
        text = f"table {self.TABLE}\ndelete table {self.TABLE}\ntable {self.TABLE} {{\n{chain('input')}{chain('output')}}}\n"
        run(netns.inside(self.machine.host.pid, "nft", "-f", "-"), text)


IN, OUT = "input", "output"


def cut(filter, others, ways=(IN, OUT)):
    """A machine and others, by name to address, hear nothing of each other; or only one of the two does."""
    rules = [(way, f"ip {'saddr' if way == IN else 'daddr'} {{ {', '.join(others.values())} }}") for way in ways]
    how = {(IN, OUT): "and {} are apart", (IN,): "hears nothing of {}", (OUT,): "is not heard by {}"}[tuple(ways)]
    return Fault(f"{filter.machine} {how.format(', '.join(others))}", lambda: filter.add(rules), lambda: filter.remove(rules))


def full_disk(member):
    """All that is free on its disk is taken. Whether it dies of that or not, it runs afterwards."""
    def end():
        member.free()
        if not member.running:
            member.start()
    return Fault(f"disk of {member} full", member.fill, end)


def clock_step(machine, seconds):
    """Its wall clock is set ahead or back, and set right at the end."""
    def step(by):
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):  # it died meanwhile
            if machine.running and not machine.stopped:
                clock.shift(machine.process.pid, by)
    return Fault(f"clock of {machine} {seconds:+d} s", lambda: step(seconds), lambda: step(0))


def lagging(member, filter, others):
    """A member hears nothing of its peers, but the replicas reach it: it has what was, and takes what cannot be."""
    fault = cut(filter, others)
    fault.what = f"{member} lags: " + fault.what
    return fault


def dies_with_promises(member, filter, others, pause):
    """A member is apart from its peers, and then is killed with all that it was asked for meanwhile."""
    apart = cut(filter, others)

    def begin():
        apart.begin()
        time.sleep(pause)
        member.kill()

    def end():
        apart.end()
        if not member.running:
            member.start()
    return Fault(f"{apart}, and {pause:.1f} s later kill -9 {member}", begin, end)


def deposed(cluster, filter, how):
    """The leading replica loses etcd, or stands still, or both, until another leads; then it goes on with what it thinks."""
    leader = cluster.leader() or cluster.replicas[0]
    etcd = cut(filter[leader.name], {m.name: m.address for m in cluster.members})

    def begin():
        if "cut" in how:
            etcd.begin()
        if "stop" in how:
            leader.stop()
        deadline = time.monotonic() + DEPOSED
        while time.monotonic() < deadline and cluster.leader() in (None, leader):
            time.sleep(0.05)
        leader.go_on()

    def end():
        if "cut" in how:
            etcd.end()
    return Fault(f"{leader}, which leads, is without it: {' and '.join(how)}", begin, end)


DEPOSED = 15  # seconds at most until another leads; a lease is of three, and etcd may just have no leader itself


def switch_killed(lab, node, masters):
    """ovs-vswitchd of a node dies with all its flows, and starts again at once."""
    def begin():
        lab.restart_vswitchd(node)
        masters.all_of(node)
    return Fault(f"kill -9 ovs-vswitchd of {node}, started at once", begin, lambda: None)


class Chaos:
    """Makes faults up, in an order that a seed gives."""

    def __init__(self, cluster, nodes, rng, longest):
        """nodes: the CloudNodes that the replicas control. longest: seconds that a fault holds."""
        self.cluster, self.rng, self.longest = cluster, rng, longest
        self.filters = {m.name: Filter(m) for m in cluster.machines}
        self.switches = {n.name: f"{n.mgmt}.{10 + n.number}" for n in nodes}
        self.log = []  # Faults that are over, or nearly
        self._now = []

    def run(self, seconds):
        """Faults for so many seconds; then everything is whole again. Returns when that was, by time.monotonic()."""
        end = time.monotonic() + seconds
        due = []
        try:
            while due or time.monotonic() < end:
                if not due:
                    due = self._hand()
                self._begin(due.pop()(self))
                self._hold()
                if self.rng.random() < 0.3:
                    self._begin(self.rng.choice(self.KINDS)(self))  # a second one while the first holds
                    self._hold()
                self._end_all()
                self._hold(0.5)
        finally:
            self._end_all()
        return time.monotonic()

    def kill_switches(self, lab, masters, count):
        """So many switches die, each while another fault holds. Returns when all is whole again, as run does."""
        try:
            for node in self.rng.sample(sorted(self.switches), count):
                self._begin(self.rng.choice(self.KINDS)(self))
                self._begin(switch_killed(lab, node, masters))
                self._hold(0.5)
                self._end_all()
        finally:
            self._end_all()
        return time.monotonic()

    def _hand(self):
        """Kinds of faults to come: each of those without which a run proves little, and as many of any kind."""
        hand = self.NEEDED + [self.rng.choice(self.KINDS) for _ in self.NEEDED]
        self.rng.shuffle(hand)
        return hand

    def _hold(self, part=1.0):
        """Wait: mostly short, sometimes long."""
        time.sleep((0.1 + self.longest * self.rng.random() ** 2) * part)

    def _begin(self, fault):
        fault.since = time.time()
        self.log.append(fault)
        self._now.append(fault)
        fault.begin()

    def _end_all(self):
        while self._now:
            fault = self._now.pop()
            fault.end()
            fault.until = time.time()

    # Kinds of fault.

    def _kill(self):
        return self.rng.choice((killed, restarted))(self.rng.choice(self.cluster.machines))

    def _kill_replica(self):
        return self.rng.choice((killed, restarted))(self.rng.choice(self.cluster.replicas))

    def _kill_all(self):
        return all_killed(self.rng.choice((self.cluster.replicas, self.cluster.members)))

    def _stop(self):
        return stopped(self.rng.choice(self.cluster.machines))

    def _cut(self):
        """A replica from a member, another replica or a switch, or a member from another; both ways or one."""
        one = self.rng.choice(self.cluster.machines)
        others = {m.name: m.address for m in self.cluster.machines if m is not one}
        if one in self.cluster.replicas:
            others |= self.switches
        name = self.rng.choice(list(others))
        return cut(self.filters[one.name], {name: others[name]}, self.rng.choice(((IN, OUT), (IN, OUT), (IN,), (OUT,))))

    def _isolate(self):
        """A machine from everything, its switches as well; or a replica from all of etcd, or from all switches."""
        one = self.rng.choice(self.cluster.machines)
        etcd = {m.name: m.address for m in self.cluster.members if m is not one}
        groups = [etcd]
        if one in self.cluster.replicas:
            groups += [self.switches, etcd | self.switches | {r.name: r.address for r in self.cluster.replicas if r is not one}]
        return cut(self.filters[one.name], self.rng.choice(groups))

    def _full(self):
        return full_disk(self.rng.choice(self.cluster.members))

    def _clock(self):
        one = self.rng.choice(self.cluster.machines)
        return clock_step(one, self.rng.choice((-1, 1)) * self.rng.choice((2, 3600, 86400 * 400)))

    def _member(self):
        """A member with its peers; every other time the one that leads."""
        one = self.cluster.etcd_leader() if self.rng.random() < 0.5 else None
        one = one or self.rng.choice(self.cluster.members)
        return one, self.filters[one.name], {m.name: m.address for m in self.cluster.members if m is not one}

    def _lagging(self):
        return lagging(*self._member())

    def _dies_with_promises(self):
        return dies_with_promises(*self._member(), 0.5 + self.rng.random())

    def _deposed(self):
        return deposed(self.cluster, self.filters, self.rng.choice((["cut"], ["stop"], ["cut", "stop"])))

    NEEDED = [_lagging, _dies_with_promises, _deposed]
    KINDS = [_kill, _kill_replica, _kill_all, _stop, _stop, _cut, _cut, _isolate, _full] + ([_clock] if clock.supported() else [])

    def report(self):
        """What was done, and when, as logs spell times."""
        def at(t):
            return "not yet" if t is None else time.strftime("%H:%M:%S", time.gmtime(t)) + f".{int(t % 1 * 1000):03d}"
        return "".join(f"  {at(f.since)} to {at(f.until)} {f}\n" for f in self.log)
