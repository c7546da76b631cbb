"""How long a tap takes while others attack: rounds with and without the attack by turns.

The switches, the taps' own client and its watch are connected before; what they cost is measured as in
bench_latency. Beside it, each round makes new connections, one GET each, from an address that attacks nobody.
That the attack is there is checked on both sides: by what the attackers hold, and by flowtapd's metrics.
"""

import time

from attacker import HABITS, OPEN, Attack, cpu
from bench_figures import load, summary
from bench_http import Broken, Line
from bench_latency import measure as taps

NEWCOMERS = 20  # connections a round
LISTENERS = tuple(HABITS)


def measure(w, check, web, peer, monitor, rounds, count):
    """rounds of count taps each, with and without the attack; returns the figures of both, and their ratios."""
    attack = Attack(w.lab, w.flowtapd.http, w.lab.openflow_addr, w.lab.nodes["n1"].datapath_id)
    raw = {True: {}, False: {}}
    seen = []
    for n in range(rounds):
        for attacked in (bool(n % 2), not n % 2):
            if attacked:
                attack.start()
                full(w, attack)
            one = arm(w, check, f"round {n + 1}, {'attacked' if attacked else 'left alone'}", attack if attacked else None, web, peer, monitor, count)
            if attacked:
                attack.stop()
                seen.append(one.pop("attack"))
                gone(w)
            for key, values in one.items():
                raw[attacked].setdefault(key, []).extend(values)
    figures = {name: {k: summary(v) for k, v in raw[attacked].items()} for attacked, name in ((True, "attacked"), (False, "alone"))}
    figures["ratio"] = {k: {p: figures["attacked"][k][p] / figures["alone"][k][p] for p in ("p50", "p90", "p99")} for k in figures["alone"] if k != "flowtapd_cpu"}
    return dict(figures, attack=seen, load=load())


def arm(w, check, title, attack, web, peer, monitor, count):
    """One round: what was measured, by name, in milliseconds; with the attack, what was seen of it, too."""
    begin, used = time.monotonic(), cpu(w.flowtapd.process.pid)
    before, of_attack = (attack.counts(), cpu(attack.pid)) if attack else (None, 0)
    found = taps(w, check, title, web, peer, monitor, count)["raw"]
    found["new_connection"] = newcomers(w.flowtapd.http)
    took = time.monotonic() - begin
    found["flowtapd_cpu"] = [(cpu(w.flowtapd.process.pid) - used) / took]
    if attack:
        now, inside = attack.counts(), connections(w)
        seen = {"cpu": (cpu(attack.pid) - of_attack) / took, "seconds": took, "flowtapd": inside}
        for port in LISTENERS:
            seen[port] = {k: now[port][k] if k == "held" else (now[port][k] - before[port][k]) / took for k in now[port]}
            check.that(f"{title}: {now[port]['held']} of {sum(HABITS[port].values())} hostile connections are open at port {port}, and flowtapd has {inside[port]}; "
                       f"{seen[port]['connected']:.0f} a second are new",
                       now[port]["held"] >= OPEN / 2 and inside[port] >= OPEN / 2 and now[port]["cut"] > before[port]["cut"], seen)
        check.that(f"{title}: strangers flood, and those who claim a switch are refused",
                   seen["openflow"]["packet_ins"] > 0 and w.api.metric("flowtap_switches_refused_total", reason="claimed") > 0, seen)
        found["attack"] = seen
    return found


def newcomers(http):
    """Milliseconds from connect to the answer, for connections of one GET each."""
    out = []
    for _ in range(NEWCOMERS):
        begin = time.monotonic()
        with Line(http) as line:
            line.must(200, "GET", "/v1/networks")
        out.append((time.monotonic() - begin) * 1000)
    return out


def connections(w):
    """How many connections flowtapd has by its own count, by listener."""
    return {port: int(w.api.metric("flowtap_connections", listener=port)) for port in LISTENERS}


def full(w, attack, timeout=60):
    """Wait until the attack is there: every connection was made once, and so many are open, also as flowtapd sees it."""
    deadline = time.monotonic() + timeout
    while True:
        now, inside = attack.counts(), connections(w)
        if all(now[p]["connected"] >= sum(HABITS[p].values()) and min(now[p]["held"], inside[p]) >= OPEN for p in LISTENERS):
            return
        if time.monotonic() > deadline:
            raise Broken(f"the attack is not there after {timeout} s: {now}, flowtapd has {inside}")
        time.sleep(0.05)


def gone(w, timeout=60):
    """Wait until nothing of the attack is left."""
    deadline = time.monotonic() + timeout
    bridges = sum(len(n.bridges) for n in w.lab.nodes.values())
    while connections(w)["openflow"] > bridges or w.api.metric("flowtap_switches") > bridges:
        if time.monotonic() > deadline:
            raise Broken(f"{timeout} s after the attack flowtapd has {connections(w)}")
        time.sleep(0.05)
