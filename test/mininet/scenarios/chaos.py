"""Three replicas, three etcd members, three nodes: processes die, stand still, lose each other, and nothing is lost.

run.py --chaos-seconds 3600 --seed 7 chaos
"""

import contextlib
import os
import random
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import ofdump
from bench_monitors import hairpin
from cluster import Cluster
from faults import Chaos
from masters import Masters
from traffic import Captures
from world import WAIT, broadcast, mixed, sending, udp

NODES = ["n1", "n2", "n3"]
RATE = 200  # frames a second of each sender: there are many minutes of them
CONVERGED = 10  # seconds after the last fault
SHORT, LONG = 2.0, 8.0  # seconds: the longest fault of a run of less than a minute, and of others
TIES = {"ports": [("network", "networks")], "taps": [("src", "ports"), ("dst", "ports")]}  # fields that refer to others
ATTACHED = ("g0-a", "n1"), ("g1-a", "n2"), ("g2-b", "n3")  # objects of the clients that have a VM


def everything_fails(w, check):
    """Faults in random order under traffic and concurrent clients; what was promised is checked afterwards."""
    seed = w.seed if w.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"     {w.chaos_seconds} s of faults, --seed {seed}", flush=True)
    rng = random.Random(seed)
    with in_place_of_flowtapd(w) as cluster:
        masters = Masters(w.lab, NODES)
        cluster.control(NODES)
        story = Story(w, check, cluster, rng)
        try:
            story.run(seed)
        except BaseException:
            print(story.chaos.report(), end="", flush=True)
            raise
        story.nobody_else_acted(masters)
        story.nothing_left_to_do()
        for m in cluster.machines:
            check.that(f"{m} runs, and never panicked", m.running and not m.panicked(), m.tail())


@contextlib.contextmanager
def in_place_of_flowtapd(w):
    """A cluster on the lab's switches, which w speaks to meanwhile; then the lab's own flowtapd has them again."""
    def program(name):
        return next(p for p in (os.path.join(os.path.dirname(w.flowtapd.binary), name), os.path.join("bin", name)) if os.access(p, os.X_OK))

    w.flowtapd.stop()
    own, report = w.api, w.report
    try:
        with Cluster(w.lab, w.flowtapd.binary, program("etcd")) as cluster:
            cluster.history = program("history")
            cluster.start()
            w.api = cluster.api
            w.report = lambda: report() + cluster.report()
            for name in NODES:
                node = w.lab.nodes[name]
                w.api.create("nodes", {"id": name, "datapath_id": node.datapath_id, "tunnel_ip": node.tunnel_ip})
            yield cluster
    finally:
        w.api = own
        w.__dict__.pop("report", None)
        w.lab.remove_vms(list(w.lab.vms.values()))
        for n in NODES:
            w.lab.point_at(n, [w.lab.openflow_addr])
            w.lab.restart_vswitchd(n)  # it knows of masters that will not come again
        w.start()


class Story:
    def __init__(self, w, check, cluster, rng):
        self.w, self.check, self.cluster = w, check, cluster
        self.chaos = Chaos(cluster, [w.lab.nodes[n] for n in NODES], rng, SHORT if w.chaos_seconds < 60 else LONG)
        self.history = os.path.join(w.lab.directory, "history.jsonl")
        connected(w.api, WAIT)
        w.network("shop")
        self.web, self.far, self.near = w.vms("shop", ("web", "n1"), ("far", "n2"), ("near", "n1"))
        self.ids, self.own, self.ips = w.monitors(("ids", "n3"), ("own", "n2"), ("ips", "n3"))
        w.lab.add_vms([dict(name=name, node=node, mac="02:cc:00:00:00:01", quiet=True) for name, node in ATTACHED])

    def run(self, seed):
        w, web, far, near = self.w, self.web, self.far, self.near
        with hairpin(self.ips), Captures(web, far, near, self.ids, self.own, self.ips) as at:
            taps = [w.tap(web, self.ids), w.tap(far, self.own, direction="in", match=f"nw_src={web.ips[0]}"), w.redirect(near, self.ips, direction="out")]
            with sending(web, mixed(udp(web, far), broadcast(web)), RATE) as out, sending(far, udp(far, web), RATE) as back, \
                    sending(near, udp(near, far), RATE) as diverted:
                with self.clients(seed):
                    out.wait_sent(50)
                    over = self.chaos.run(w.chaos_seconds)
                    self.converges(taps, over)
                out.wait_more(50)
                for s in (out, back, diverted):
                    s.stop()
            at.settle()
        self.all_counted(at, out.sent, back.sent, diverted.sent)
        self.all_explained()
        self.all_there()

    @contextlib.contextmanager
    def clients(self, seed):
        """Concurrent clients for the length of the block; at its end they read everything once more through every replica."""
        with open(self.history, "wb") as out:
            recorder = subprocess.Popen([self.cluster.history, "record", "--seed", str(seed), "--monitor", self.ids.name, *(r.base for r in self.cluster.replicas)],
                                        stdin=subprocess.PIPE, stdout=out, stderr=subprocess.PIPE, text=True)
            self.w.lab.entry.add_process(recorder.pid)
            try:
                yield
                _, said = recorder.communicate(timeout=60)
                self.check.that("every replica answers every client at the end", recorder.returncode == 0, said)
            finally:
                recorder.kill()
                recorder.wait()

    def converges(self, taps, over):
        """Everything is in force again soon after the last fault."""
        try:
            for r in self.cluster.replicas:
                self.wait(r.api.ready, over, f"{r} serves")
                connected(r.api, left(over))
                for id in taps:
                    r.api.wait_state("taps", id, "active", timeout=left(over))
            took, why = time.monotonic() - over, ""
        except (TimeoutError, OSError) as e:
            took, why = None, f"{e}\n{self.chaos.report()}"
        self.check.that(f"within {CONVERGED} s of the last of {len(self.chaos.log)} faults every node is connected and every tap active, as every replica says",
                        took is not None, why)
        if took is not None:
            print(f"     converged {took:.1f} s after the last of {len(self.chaos.log)} faults", flush=True)

    @staticmethod
    def wait(condition, over, what):
        while not condition():
            if left(over) <= 0:
                raise TimeoutError(f"not within {CONVERGED} s: {what}")
            time.sleep(0.02)

    def all_counted(self, at, out, back, diverted):
        check = self.check
        flooded = [f for f in out if f[:6] == b"\xff" * 6]
        direct = [f for f in out if f[:6] != b"\xff" * 6]
        ok = check.same("through all faults every frame arrived", out + diverted, at[self.far].frames)
        ok &= check.same("also in the other direction", back, at[self.web].frames)
        ok &= check.same("and those that are flooded", flooded, at[self.near].frames)
        ok &= check.same("a remote monitor got one copy of each", out + back, at[self.ids].frames)
        ok &= check.same("so did a local one, of what its contract says", out, at[self.own].frames)
        ok &= check.same("what is redirected was at its monitor", diverted, at[self.ips].frames)
        if not ok:
            print(f"     {len(direct)} of them direct; the faults:\n{self.chaos.report()}", flush=True)

    def all_explained(self):
        """The answers that the clients had are those of one machine that never fails."""
        picture = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "out", f"history-{os.getpid()}.html")
        os.makedirs(os.path.dirname(picture), exist_ok=True)
        done = subprocess.run([self.cluster.history, "check", "--picture", picture, self.history], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            keep(self.history, picture.replace(".html", ".jsonl"))
        ok = self.check.that(f"the history of operations is linearizable ({done.stdout.splitlines()[0] if done.stdout else ''})", done.returncode == 0,
                             f"{done.stdout}{done.stderr}{picture}\n{self.chaos.report()}")
        if ok:
            print(f"     {done.stdout.splitlines()[0]}", flush=True)

    def all_there(self):
        """Every replica says the same, and etcd holds of each object all or nothing."""
        with ThreadPoolExecutor(4) as at_once:
            lists = list(at_once.map(lambda r: {c: wanted(r.api, c) for c in ("nodes", "networks", "ports", "taps")}, self.cluster.replicas))
        for r, found in zip(self.cluster.replicas[1:], lists[1:]):
            self.check.equal(f"{r} says the same as {self.cluster.replicas[0]}", lists[0], found)
        dumps = [m.dump("/flowtap/v1/") for m in self.cluster.members]
        objects = {c: {i["id"]: i for i in items} for c, items in lists[0].items()}
        for m, dump in zip(self.cluster.members, dumps):
            left = half_done(objects, dump)
            self.check.that(f"{m} has every object with all that belongs to it, and nothing else", not left, "\n".join(left))

    def nobody_else_acted(self, masters):
        """Only masters changed switches."""
        for n, acts in masters.acts().items():
            changes = sum(acts.by.values())
            if len(self.cluster.replicas) > 1:
                self.check.that(f"{n}: all {changes} changes were its master's, of {len({g for g, _ in acts.terms})} terms", changes and not acts.wrong,
                                "\n".join(acts.wrong[:20]))

    def nothing_left_to_do(self):
        """Replicas that know nothing of what was going on find the switches as they want them."""
        switches = self.w.at_rest()
        for r in self.cluster.replicas:
            r.kill()
        self.same("without controllers the switches hold what they held", switches)
        for r in self.cluster.replicas:
            r.start()
        self.cluster.wait_ready()
        deadline = time.monotonic() + WAIT
        self.wait(lambda: sum(r.api.metric("flowtap_switches") for r in self.cluster.replicas) >= len(NODES), deadline, "the replicas have every switch")
        self.w.at_rest()
        self.same("controllers that begin anew find nothing to do", switches)

    def same(self, what, switches):
        left = ofdump.difference(switches, self.w.lab.snapshot())
        self.check.that(what, not left, "\n".join(left))


def left(over):
    return CONVERGED - (time.monotonic() - over)


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


def keep(path, to):
    with contextlib.suppress(OSError), open(path, "rb") as f, open(to, "wb") as out:
        out.write(f.read())


STORIES = [everything_fails]
