"""Policies: taps follow labels, all of a policy's at once, and what follows from it is what is delivered."""

import os
import time

from inline import Inline
from traffic import Captures, send
from world import WAIT, broadcast, mixed, some, tcp, udp

EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "examples")
PUBLIC = {"app": "dvd-rental", "tier": "public"}
RETURNED = 1.0  # seconds within which a frame that goes through the WAF is there
PAPER = "2-public-services"


def example(name):
    with open(os.path.join(EXAMPLES, name + ".ftc")) as f:
        return f.read()


def http(a, b):
    """Requests to the two ports of the example, in IPv4 and IPv6."""
    return mixed(tcp(a, b), tcp(a, b, dport=8080), tcp(a, b, v6=True), tcp(a, b, v6=True, dport=8080))


def others(a, b):
    """What the example says nothing of: other ports, replies, broadcasts."""
    return mixed(tcp(a, b, dport=443), udp(a, b, dport=80), tcp(a, b, sport=80, dport=4000), broadcast(a))


def labelled(w, vm, labels):
    """Change a port's labels."""
    port = w.api.get("ports", vm.name)
    w.api.replace("ports", vm.name, dict(port, labels=labels))


def until_taps(w, policy, expected, state="active"):
    """Wait until the policy has exactly these taps, as {(src, match)}, all of them in the state; seconds that it took."""
    began = time.monotonic()
    while True:
        taps = w.api.list("taps", policy=policy)
        if {(t["src"], t["match"]) for t in taps} == expected and all(t["status"]["state"] == state for t in taps):
            return time.monotonic() - began
        if time.monotonic() - began > WAIT:
            raise TimeoutError(f"after {WAIT} s the taps of {policy} are {taps}, want {sorted(expected)}")
        time.sleep(0.005)


def carried_out(w):
    """Wait until the switches act on everything that the API has said."""
    w.api.create("networks", {"id": f"now-{time.monotonic_ns()}"}, wait=WAIT)


def through(check, title, client, services, waf, program, watched):
    """client sends to each service. The HTTP of those that are watched passes the WAF, and nothing else does; while that drops, it
    does not arrive."""
    for command in ("pass", "drop"):
        program.tell(command)
        requests = {s: some(http(client, s), 40, 1000 * k) for k, s in enumerate(services)}
        rest = {s: some(others(client, s), 40, 1000 * k + 500) for k, s in enumerate(services)}
        to_all = [f for batch in rest.values() for f in batch if f[0] & 1]
        diverted = [f for s in services if s in watched for f in requests[s]]
        arrive = {s: [f for f in rest[s] if f not in to_all] + to_all + ([] if s in watched and command == "drop" else requests[s]) for s in services}
        with Captures(waf, *services) as at:
            for s in services:
                send(client, requests[s] + rest[s], rate=1500)
            for s in services:
                at[s].wait_for(len(arrive[s]), timeout=RETURNED)
            at[waf].wait_for(len(diverted), timeout=RETURNED)
            at.settle(quiet=0.2)
        for s in services:
            check.same(f"{title}, the WAF says {command}: {s.name} gets what it should, once", arrive[s], at[s].frames)
        if diverted:
            check.same(f"{title}, the WAF says {command}: it has the HTTP of public services, once", diverted, at[waf].frames)
        else:
            check.none(f"{title}: the WAF has nothing", at[waf].frames)


def the_papers_example(w, check):
    """All incoming HTTP of public services is redirected to the WAF; labels make and withdraw that."""
    w.network("shop")
    client, web, api, db = services = w.vms("shop", ("client", "n2"), ("web", "n1", {"labels": PUBLIC}), ("api", "n2", {"labels": PUBLIC}),
                                            ("db", "n1", {"labels": {"app": "dvd-rental", "tier": "internal"}}))
    services = [web, api, db]
    waf, ids = w.monitors(("waf", "n3", {"labels": {"role": "waf"}}), ("ids", "n1"))
    w.tap(db, ids, "udp", direction="in", id="by-hand")
    before = w.at_rest()

    def wants(*vms):
        return {(vm.name, f"nw_proto=TCP; tp_dst={port}") for vm in vms for port in (80, 8080)}

    source = example(PAPER)
    foreseen = w.api.must("POST", "/v1/policies?dry_run=true", {"id": PAPER, "source": source})
    check.equal("a dry run foresees the taps", [4, 0, 0], [foreseen["taps"][k] for k in ("created", "changed", "deleted")])
    check.that("and what that means to switches", {s["node"] for s in foreseen["switches"]} == {"n1", "n2", "n3"}, foreseen["switches"])
    check.equal("and changes nothing", [], w.api.list("taps", policy=PAPER))
    made = w.api.create("policies", {"id": PAPER, "source": source}, wait=WAIT)
    check.equal("the policy is active", ("active", 4), (made["status"]["state"], made["status"]["taps"]))
    until_taps(w, PAPER, wants(web, api))
    with Inline((waf, waf), capture=os.path.join(w.lab.directory, "waf")) as program:
        through(check, "web and api public", client, services, waf, program, [web, api])

        labelled(w, db, PUBLIC)
        took = until_taps(w, PAPER, wants(web, api, db))
        print(f"     a label made two taps, active in {1000 * took:.0f} ms", flush=True)
        carried_out(w)
        through(check, "db public, too", client, services, waf, program, [web, api, db])

        began = time.monotonic()
        labelled(w, api, {})
        labelled(w, db, {})
        until_taps(w, PAPER, wants(web))
        carried_out(w)
        print(f"     labels gone, four taps withdrawn from the switches in {1000 * (time.monotonic() - began):.0f} ms", flush=True)
        through(check, "web public alone", client, services, waf, program, [web])

        bad = w.api.replace("policies", PAPER, {"source": source + '\nexecute[flowtap:tap("db", "waf", "udp", "forward", direction="in")]\n'}, wait=WAIT)
        check.equal("a version that would overlap with a tap by hand is not carried out", "invalid", bad["status"]["state"])
        where = f"{PAPER}:{source.count(chr(10)) + 2}:1: error: this tap of port db overlaps tap by-hand"
        check.that("and says where and why", bad["status"]["diagnostics"][0]["text"].startswith(where), bad["status"])
        through(check, "and the old one goes on", client, services, waf, program, [web])
    w.api.delete("policies", PAPER, wait=WAIT)
    check.equal("without the policy there is the tap by hand alone", ["by-hand"], [t["id"] for t in w.api.list("taps")])
    check.equal("and the switches hold what they held", before, w.at_rest())


STORIES = [the_papers_example]
