"""How long a switch is without a master that acts, after kill -9 of its master.

Three replicas, three etcd members (cluster.py), three switches. Each second time the replica that is killed is the
leader, else another one; the switch under watch is one that it was master of. A surviving replica is given a tap of a port
there at once; the time is until the switch has the tap's first flow, from right before the kill: by then another replica is
its master, by its own word, and the leader, the next one where it was killed, speaks to it through that.
"""

import os
import subprocess
import sys
import time

import netns
from bench_figures import percentiles
from cluster import Cluster

NODES = ["n1", "n2", "n3"]
SECONDS = 30  # the longest that any change may take


def measure(w, check, count, etcd):
    """Failovers, count times; figures of all, of those where the master led, and of the others."""
    took = {True: [], False: []}
    with Cluster(w.lab, w.flowtapd.binary, etcd) as cluster:
        cluster.start()
        own, w.api = w.api, cluster.api
        try:
            for name in NODES:
                node = w.lab.nodes[name]
                w.api.create("nodes", {"id": name, "datapath_id": node.datapath_id, "tunnel_ip": node.tunnel_ip})
            cluster.control(NODES)
            for name in NODES:
                w.api.wait_state("nodes", name, "connected", timeout=SECONDS)
            w.network("shop")
            webs = dict(zip(NODES, w.vms("shop", *((f"web{n}", n) for n in NODES), warm=False)))
            ids, = w.monitors(("ids", "n1"))
            for n in range(count):
                leads = n % 2 == 1
                seconds = failover(w, cluster, webs, ids, 10000 + n, leads)
                took[leads].append(seconds * 1000)
                print(f"    {n + 1} of {count}: {seconds * 1000:.0f} ms{', the leader' if leads else ''}", file=sys.stderr, flush=True)
        finally:
            w.api = own
    check.that(f"after kill -9 of its master the switch was served by another {count} times", len(took[True]) + len(took[False]) == count)
    return {"all": percentiles(took[True] + took[False]), **{name: percentiles(took[k]) for k, name in ((True, "leader"), (False, "other")) if took[k]}, "raw": took[True] + took[False]}


def failover(w, cluster, webs, ids, port, leads):
    """Kill the leader, or another replica, that is the master of a switch; how long that switch went without, seconds."""
    master, web = victim(cluster, webs, leads)
    survivor = next(r for r in cluster.replicas if r is not master)
    tap = {"id": f"t{port}", "src": web.name, "dst": ids.name, "action": "forward", "match": f"nw_proto=UDP; tp_dst={port}", "direction": "out"}
    begin = time.monotonic()
    master.kill()
    survivor.api.create("taps", tap)
    while f"tp_dst={port}" not in flows(w, web.node):
        if time.monotonic() - begin > SECONDS:
            raise TimeoutError(f"{web.node.name} is not served {SECONDS} s after kill -9 of {master}\n{survivor.tail()}")
        time.sleep(0.002)
    took = time.monotonic() - begin
    survivor.api.delete("taps", tap["id"], wait=SECONDS)
    master.start()
    cluster.wait_ready()
    deadline = time.monotonic() + SECONDS
    # All three serve again, the switch is connected to each, and its master stays: a second of calm.
    while len(survivor.api.get("nodes", web.node.name)["status"].get("replicas", ())) < len(cluster.replicas):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{master} does not have its switches again")
        time.sleep(0.02)
    time.sleep(2)
    return took


def victim(cluster, webs, leads):
    """A replica that leads, or does not, and the VM of a switch that it is master of. Each has one by and by: they are spread evenly."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        keys = cluster.members[0].dump("/flowtap/v1/")
        masters = {k.rsplit("/", 1)[1].replace(":", ""): v for k, v in keys.items() if k.startswith("/flowtap/v1/masters/")}
        for web in webs.values():
            named = masters.get(f"{int(web.node.datapath_id, 16):016x}", "")
            for r in cluster.replicas:
                if f'"{r.name}"' in named and (r.name in keys["/flowtap/v1/leader"]) == leads:
                    return r, web
        time.sleep(0.05)
    raise TimeoutError(f"no switch whose master {'leads' if leads else 'does not lead'}: {masters}, leader {keys['/flowtap/v1/leader']}")


def flows(w, node):
    return subprocess.run(netns.inside(node.pid, "ovs-ofctl", "-O", "OpenFlow13", "dump-flows", node.bridges[-1], "udp"), capture_output=True, text=True, check=True).stdout


def program(flowtapd, name):
    """What `make build` puts beside flowtapd."""
    return os.path.join(os.path.dirname(flowtapd), name)
