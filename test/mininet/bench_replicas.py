"""How long a switch is without a master that acts, after kill -9 of its master.

Three replicas and three etcd members (cluster.py), one switch under watch. Each time its master is killed,
which by turns is the leader too. A surviving replica is given a tap of a port there at once; the time is until
the switch has the tap's first flow, from right before the kill: by then another replica is its master, by its own word,
and the leader, the next one where it was killed, speaks to it through that.
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
            web, = w.vms("shop", ("web", "n1"), warm=False)
            ids, = w.monitors(("ids", "n1"))
            for n in range(count):
                leads, seconds = failover(w, cluster, web, ids, 10000 + n)
                took[leads].append(seconds * 1000)
                print(f"    {n + 1} of {count}: {seconds * 1000:.0f} ms{', the leader' if leads else ''}", file=sys.stderr, flush=True)
        finally:
            w.api = own
    check.that(f"after kill -9 of its master the switch was served by another {count} times", len(took[True]) + len(took[False]) == count)
    return {"all": percentiles(took[True] + took[False]), **{name: percentiles(took[k]) for k, name in ((True, "leader"), (False, "other")) if took[k]}, "raw": took[True] + took[False]}


def failover(w, cluster, web, ids, port):
    """Kill the master of web's node once; whether it led, and how long that took."""
    keys = cluster.members[0].dump("/flowtap/v1/")
    dpid = f"{int(web.node.datapath_id, 16):016x}"
    named = [v for k, v in keys.items() if k.startswith("/flowtap/v1/masters/") and k.rsplit("/", 1)[1].replace(":", "") == dpid]
    master = next(r for r in cluster.replicas if f'"{r.name}"' in named[0])
    leads = master.name in keys["/flowtap/v1/leader"]
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
    return leads, took


def flows(w, node):
    return subprocess.run(netns.inside(node.pid, "ovs-ofctl", "-O", "OpenFlow13", "dump-flows", node.bridges[-1], "udp"), capture_output=True, text=True, check=True).stdout


def program(flowtapd, name):
    """What `make build` puts beside flowtapd."""
    return os.path.join(os.path.dirname(flowtapd), name)
