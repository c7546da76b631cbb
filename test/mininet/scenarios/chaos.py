"""Three replicas, three etcd members, three nodes: processes die, stand still, lose each other, and nothing is lost.

run.py --chaos-seconds 3600 --seed 7 chaos
"""

import contextlib
import os
import random
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import ofdump
from api import Refused
from bench_monitors import hairpin
from check import OUT
from cluster import Cluster
from faults import Chaos
from masters import Masters, relays_gone_back
from scenarios.restart import settled
from traffic import Captures, busy
from world import WAIT, NotReady, broadcast, exact, mixed, sending, udp

NODES = ["n1", "n2", "n3"]
RATE = 200  # frames a second of each sender: there are many minutes of them
CONVERGED = 10  # seconds after the last fault, on a machine that is not busy beyond its processors
SHORT, LONG = 3.0, 8.0  # seconds: the longest fault of a run of less than a minute, and of others; a lease is of three
TIES = {"ports": [("network", "networks")], "taps": [("src", "ports"), ("dst", "ports")]}  # fields that refer to others
DYING = 2  # switches, after each segment
GROUPS = 5  # of objects that the clients make and remove; of the last one the rivals do
ATTACHED = (0, "a", "n1"), (1, "a", "n2"), (2, "b", "n3")  # which of their ports have a VM
SEGMENT = 60  # seconds of faults after which everything is judged, and goes on


def everything_fails(w, check):
    """Faults in random order under traffic and concurrent clients; what was promised is checked afterwards."""
    seed = w.seed if w.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"     {w.chaos_seconds} s of faults, --seed {seed}", flush=True)
    rng = random.Random(seed)
    with in_place_of_flowtapd(w, check) as cluster:
        masters = Masters(w.lab, NODES)
        cluster.control(NODES)
        try:
            story = Story(w, check, cluster, rng)
            for n, seconds in enumerate(segments(w.chaos_seconds)):
                story.run(n, seconds)
                story.switches_die(masters)
            print(f"     {story.faults} faults", flush=True)
            story.nobody_else_acted(masters)
            story.nothing_left_to_do()
        except Exception as e:  # whatever it is: the machines are there now to be asked about it
            check.crashed(e)
        masters.close()
        for m in cluster.machines:
            check.that(f"{m} runs, and never panicked", m.running and not m.panicked(), f"{'runs' if m.running else 'is dead'}\n{m.panicked()}{m.tail()}")


def segments(seconds):
    """Parts of a minute, which are judged one by one, until so many seconds are over; one of the whole, where that is less."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        yield min(left, SEGMENT)


def program(w, name):
    """A program that `make build` puts beside flowtapd."""
    for directory in (os.path.dirname(w.flowtapd.binary), os.path.join(os.path.dirname(OUT), "..", "..", "bin")):
        path = os.path.abspath(os.path.join(directory, name))
        if os.access(path, os.X_OK):
            return path
    raise FileNotFoundError(f"no program {name} beside {w.flowtapd.binary} nor in bin: `make build` makes it")


@contextlib.contextmanager
def in_place_of_flowtapd(w, check):
    """A cluster on the lab's switches, which w speaks to meanwhile; then the lab's own flowtapd has them again."""
    etcd, history = program(w, "etcd"), program(w, "history")
    own, report = w.api, check.report
    try:
        with Cluster(w.lab, w.flowtapd.binary, etcd) as cluster:
            cluster.history = history
            cluster.start()
            w.api = cluster.api
            check.report = lambda: report() + cluster.report()
            for name in NODES:
                node = w.lab.nodes[name]
                w.api.create("nodes", {"id": name, "datapath_id": node.datapath_id, "tunnel_ip": node.tunnel_ip})
            yield cluster
    finally:
        w.api = own
        check.report = report
        w.lab.remove_vms(list(w.lab.vms.values()))
        for n in NODES:
            w.lab.point_at(n, [w.lab.openflow_addr])
            w.lab.restart_vswitchd(n)  # it knows of masters that will not come again
        w.wait_connected()


class Story:
    def __init__(self, w, check, cluster, rng):
        self.w, self.check, self.cluster = w, check, cluster
        self.chaos = Chaos(cluster, [w.lab.nodes[n] for n in NODES], rng, SHORT if w.chaos_seconds < 60 else LONG)
        self.faults = 0
        connected(w.api, WAIT * busy())
        w.network("shop")
        self.web, self.far, self.near = w.vms("shop", ("web", "n1"), ("far", "n2"), ("near", "n1"))
        self.ids, self.own, self.ips = w.monitors(("ids", "n3"), ("own", "n2"), ("ips", "n3"))
        self.taps = [w.tap(self.web, self.ids), w.tap(self.far, self.own, direction="in", match=f"nw_src={self.web.ips[0]}"),
                     w.redirect(self.near, self.ips, direction="out")]

    def run(self, number, seconds):
        """Faults for so many seconds, and the judgement."""
        w, web, far, near = self.w, self.web, self.far, self.near
        attached = w.lab.add_vms([dict(name=f"g{GROUPS * number + g}-{port}", node=node, mac="02:cc:00:00:00:01", quiet=True) for g, port, node in ATTACHED])
        history = os.path.join(w.lab.directory, f"history-{number}.jsonl")
        self.chaos.log = []
        with hairpin(self.ips), Captures(web, far, near, self.ids, self.own, self.ips) as at:
            with sending(web, mixed(udp(web, far), broadcast(web)), RATE) as out, sending(far, udp(far, web), RATE) as back, \
                    sending(near, udp(near, far), RATE) as diverted:
                with self.clients(number, history):
                    out.wait_sent(50)
                    over = self.chaos.run(seconds)
                    self.converges(over)
                self.clients_taps_settle(attached)
                out.wait_more(50)
                for s in (out, back, diverted):
                    s.stop()
            at.settle()
        ok = self.all_counted(at, out.sent, back.sent, diverted.sent)
        ok &= self.all_explained(history)
        ok &= self.all_there()
        if not ok:
            print(f"     the faults were\n{self.chaos.report()}", flush=True)
        self.clear(number)

    def switches_die(self, masters):
        """Switches die while others do, too. What one misses while it is away nobody can count; what it holds and copies afterwards is exact."""
        w, web, far = self.w, self.web, self.far
        switches = w.at_rest(wait=WAIT * busy())
        self.chaos.log = []
        over = self.chaos.kill_switches(w.lab, masters, DYING)
        left = settled(w, switches, WAIT * busy())
        self.check.that(f"{DYING} switches that died under faults hold again what they held", not left, "\n".join([*left, self.chaos.report()]))
        self.converges(over)  # not sooner: until then what is said of a switch may be of before it died
        w.warm([web, far])
        exact(self.check, "after switches died", web, far, self.ids)

    @contextlib.contextmanager
    def clients(self, number, history):
        """Concurrent clients for the length of the block; at its end they read everything once more through every replica."""
        with open(history, "wb") as out:
            recorder = subprocess.Popen([self.cluster.history, "record", "--seed", str(self.chaos.rng.randrange(1 << 32)), "--groups", str(GROUPS),
                                         "--first", str(GROUPS * number), "--monitor", self.ids.name, *(r.base for r in self.cluster.replicas)],
                                        stdin=subprocess.PIPE, stdout=out, stderr=subprocess.PIPE, text=True)
            self.w.lab.entry.add_process(recorder.pid)
            try:
                yield
                _, said = recorder.communicate(timeout=60)
                self.check.that("every replica answers every client at the end", recorder.returncode == 0, said)
            finally:
                recorder.kill()
                recorder.wait()

    def converges(self, over):
        """Everything is in force again soon after the last fault."""
        while any(missing := [text for r in self.cluster.replicas for text in self.missing(r)]) and time.monotonic() - over < CONVERGED * busy():
            time.sleep(0.05)
        took = time.monotonic() - over
        self.faults += len(self.chaos.log)
        self.check.that(f"{took:.1f} s after the last of {len(self.chaos.log)} faults every node is connected and every tap active, as every replica says",
                        not missing, "\n".join(missing) + f"\n{self.chaos.report()}")

    def missing(self, replica):
        """What a replica says is not in force."""
        try:
            if not replica.api.ready():
                return [f"{replica} is not ready"]
            states = {i["id"]: i["status"]["state"] for c in ("nodes", "taps") for i in replica.api.list(c)}
        except (OSError, Refused) as e:
            return [f"{replica}: {e}"]
        should = {**dict.fromkeys(NODES, "connected"), **dict.fromkeys(self.taps, "active")}
        return [f"{replica}: {id} is {states.get(id)}" for id, state in should.items() if states.get(id) != state]

    def clients_taps_settle(self, attached):
        """What the clients left behind is in force where it can be, and nowhere else."""
        names, deadline = {vm.name for vm in attached}, time.monotonic() + WAIT * busy()
        while True:
            states = {t["id"]: (t["status"]["state"], t["src"] in names) for t in self.w.api.list("taps") if t["id"] not in self.taps}
            # One whose target was changed for a port that is nowhere is degraded: it was in force.
            wrong = {id: state for id, (state, there) in states.items() if state not in (("active",) if there else ("pending", "degraded"))}
            if not wrong or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        self.check.that(f"the clients' {len(states)} taps are in force where their ports are", not wrong, wrong)

    def clear(self, number):
        """Remove what the clients made."""
        groups = [f"g{GROUPS * number + n}" for n in range(GROUPS)]
        for collection, ids in (("taps", [f"{g}-t" for g in groups]), ("ports", [f"{g}-{p}" for g in groups for p in "ab"]), ("networks", groups)):
            for id in ids:
                with contextlib.suppress(Refused):
                    self.w.api.delete(collection, id)
        self.w.lab.remove_vms([vm for name, vm in self.w.lab.vms.items() if name.startswith("g")])

    def all_counted(self, at, out, back, diverted):
        same = self.check.same
        return all([same("through all faults every frame arrived", out + diverted, at[self.far].frames),
                    same("also in the other direction", back, at[self.web].frames),
                    same("and those that are flooded", [f for f in out if f[:6] == b"\xff" * 6], at[self.near].frames),
                    same("a remote monitor got one copy of each", out + back, at[self.ids].frames),
                    same("so did a local one, of what its contract says", out, at[self.own].frames),
                    same("what is redirected was at its monitor", diverted, at[self.ips].frames)])

    def all_explained(self, history):
        """The answers that the clients had are those of one machine that never fails."""
        kept = os.path.join(OUT, f"{os.path.basename(history)[:-6]}-{os.getpid()}")
        os.makedirs(OUT, exist_ok=True)
        done = subprocess.run([self.cluster.history, "check", "--picture", f"{kept}.html", history], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            shutil.copy(history, f"{kept}.jsonl")
        first = done.stdout.partition("\n")[0]
        return self.check.that(f"the history of operations is linearizable ({first})", done.returncode == 0, f"{done.stdout}{done.stderr}see {kept}.html, .jsonl")

    def all_there(self):
        """Every replica says the same, and etcd holds of each object all or nothing."""
        with ThreadPoolExecutor(4) as at_once:
            lists = list(at_once.map(lambda r: {c: patiently(lambda: wanted(r.api, c)) for c in ("nodes", "networks", "ports", "taps")}, self.cluster.replicas))
        ok = all([self.check.equal(f"{r} says the same as {self.cluster.replicas[0]}", lists[0], found)
                  for r, found in zip(self.cluster.replicas[1:], lists[1:])])
        dumps = [patiently(lambda m=m: m.dump("/flowtap/v1/")) for m in self.cluster.members]
        objects = {c: {i["id"]: i for i in items} for c, items in lists[0].items()}
        for m, dump in zip(self.cluster.members, dumps):
            left = half_done(objects, dump)
            ok &= self.check.that(f"{m} has every object with all that belongs to it, and nothing else", not left, "\n".join(left))
        return ok

    def nobody_else_acted(self, masters):
        """Only masters changed switches."""
        for n, acts in masters.acts().items():
            changes = sum(acts.by.values())
            self.check.that(f"{n}: all {changes} changes were its master's, of {len({g for g, _ in acts.terms})} terms", changes and not acts.wrong,
                            "\n".join(acts.wrong[:20]))
        for r in self.cluster.replicas:
            wrong = relays_gone_back(r.log)
            self.check.that(f"{r} let no older leader speak to a switch after a newer one", not wrong, "\n".join(wrong[:20]))

    def nothing_left_to_do(self):
        """Replicas that know nothing of what was going on find the switches as they want them."""
        switches = self.w.at_rest(wait=WAIT * busy())
        for r in self.cluster.replicas:
            r.kill()
        self.same("without controllers the switches hold what they held", switches)
        for r in self.cluster.replicas:
            r.start()
        self.cluster.wait_ready()
        deadline = time.monotonic() + WAIT * busy()
        while sum(r.api.metric("flowtap_switches") for r in self.cluster.replicas) < len(NODES):
            if time.monotonic() > deadline:
                raise NotReady("the replicas do not have every switch")
            time.sleep(0.02)
        self.w.at_rest(wait=WAIT * busy())
        self.same("controllers that begin anew find nothing to do", switches)

    def same(self, what, switches):
        left = ofdump.difference(switches, self.w.lab.snapshot())
        self.check.that(what, not left, "\n".join(left))


def patiently(ask):
    """What is not about time may be asked again."""
    deadline = time.monotonic() + WAIT * busy()
    while True:
        try:
            return ask()
        except (OSError, Refused):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def connected(api, timeout):
    for n in NODES:
        api.wait_state("nodes", n, "connected", timeout=timeout)


def wanted(api, collection):
    """The objects without what the controller observed, by id."""
    return sorted(({k: v for k, v in i.items() if k != "status"} for i in api.list(collection)), key=lambda i: i["id"])


def half_done(objects, dump):
    """What of etcd's keys should not be, or is not there: one line each."""
    want = set()
    for collection, items in objects.items():
        for id, i in items.items():
            want.add(f"objects/{collection}/{id}")
            want |= {f"refs/{target}/{i[field]}/{collection}/{id}" for field, target in TIES.get(collection, ()) if i.get(field)}
    taken = {}
    for id, port in objects["ports"].items():
        taken[f"unique/port.interface/{port['interface']}"] = id
        if port.get("network"):
            taken |= {f"unique/port.mac/{port['network']}%2F{port['mac']}": id, **{f"unique/port.ip/{port['network']}%2F{ip}": id for ip in port.get("ips", ())}}
    have = {k.removeprefix("/flowtap/v1/"): v for k, v in dump.items()}
    found = {k for k in have if k.startswith(tuple(f"{kind}/{c}/" for kind in ("objects", "refs") for c in objects))}
    took = {k: v for k, v in have.items() if k.startswith("unique/port.")}
    wrong = [f"missing: {k}" for k in sorted(want - found)] + [f"left over: {k}" for k in sorted(found - want)]
    wrong += [f"{k} = {v}, {took.get(k)} in etcd" for k, v in sorted(taken.items()) if took.get(k) != v]
    wrong += [f"taken by nobody: {k} = {v}" for k, v in sorted(took.items()) if k not in taken]
    for k in have:
        kind, _, key = k.partition("/")
        collection, _, id = key.partition("/")
        if kind == "status" and collection in objects and id not in objects[collection]:
            wrong.append(f"status of nothing: {k}")
    return wrong


STORIES = [everything_fails]
