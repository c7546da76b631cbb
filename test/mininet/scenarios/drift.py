"""Somebody else's hands: what is done to our flows, groups and meters is noticed, repaired and counted, and nobody else's are touched."""

import contextlib
import time

import ofdump
from traffic import Captures
from world import WAIT, NotReady, broadcast, exact, mixed, sending, udp

OURS = "cookie=0xf10a000000000000/0xffff000000000000"
NOBODYS = 65100  # a port number that no VM of this story, or of another in this lab, will have
FOREIGN = [f"cookie=0xabc,table=0,priority=1000,in_port={NOBODYS},actions=drop", f"cookie=0x1,table=30,priority=7,udp,tp_dst=7,in_port={NOBODYS},actions=drop",
           "cookie=0x2,table=200,priority=1,actions=drop"]


class Bench:
    """web on n1, tapped to ids on n3, talks with far on n2; of guest on n1 the controller is told, by a meter."""

    def __init__(self, w):
        self.w = w
        w.network("shop")
        self.web, self.far = w.vms("shop", ("web", "n1"), ("far", "n2"))
        w.vms("shop", ("guest", "n1", {"undeclared": ("mac", "ips")}), warm=False)
        self.ids, = w.monitors(("ids", "n3"))
        self.tap = w.tap(self.web, self.ids)
        for flow in FOREIGN:
            w.lab.ofctl("n1", "add-flow", flow)
        self.held = w.at_rest()

    def close(self):
        """Nobody else would take away what is not flowtapd's."""
        for flow in FOREIGN:
            self.w.lab.ofctl("n1", "del-flows", f"{flow.split(',')[0]}/-1")

    def status(self, node="n1"):
        return self.w.api.get("nodes", node)["status"]

    def repaired(self, since, node="n1"):
        """Wait until a node's drift was counted and it holds again what it held; returns what is still wrong."""
        deadline = time.monotonic() + WAIT
        while True:
            left = [] if self.status(node)["drift_repaired"] > since else ["nothing is counted"]
            try:
                left += ofdump.difference({node: self.held[node]}, {node: self.w.lab.dump(node)})
            except Exception as e:  # a switch that is just coming up
                left.append(str(e))
            if not left or time.monotonic() > deadline:
                break
            time.sleep(0.02)
        # A deletion is answered when everything before it has been carried out and proven, too.
        self.w.network("nobody")
        self.w.api.delete("networks", "nobody", wait=WAIT)
        return left

    def done(self, check, title, hand, node="n1"):
        """Have a hand do it; checks that it is repaired and counted."""
        since = self.status(node)["drift_repaired"]
        hand()
        left = self.repaired(since, node)
        if not check.that(f"{title}: repaired", not left, "\n".join(left)):
            raise NotReady(f"after {title} the switch is not what it was")
        now = self.status(node)
        check.that(f"{title}: {now['drift_repaired'] - since} counted, {now['last_drift']['what']!r}", now["drift_repaired"] > since)


def hands(w, web):
    """What is done to n1: a name and a function."""
    def ofctl(*args):
        return lambda: w.lab.ofctl("n1", *args)

    def every_table():
        for table in sorted({int(f.text.split("table=")[1].split(",")[0]) for f in w.lab.flows("n1") if f.cookie.startswith("0xf10a")}):
            w.lab.ofctl("n1", "del-flows", f"table={table},{OURS}")

    copies, = {part.split(",")[0] for f in w.lab.flows("n1") if f.cookie.startswith("0xf10a0b") for part in f.text.split("group:")[1:]}
    meter, = {part.split(",")[0].split()[0] for f in w.lab.flows("n1") for part in f.text.split("meter:")[1:]}
    return [("all flows of ours deleted, table by table", every_table),
            ("a contract's actions changed", ofctl("mod-flows", f"table=30,{w.lab.entering(web)},actions=drop")),
            ("a flow of ours replaced", ofctl("add-flow", "cookie=0x5,table=90,priority=1,actions=drop")),
            ("a flow added under our cookies", ofctl("add-flow", "cookie=0xf10a0b0000001267,table=0,priority=60000,actions=drop")),
            ("the copies' group changed", ofctl("mod-group", f"group_id={copies},type=all")),
            ("the copies' group deleted", ofctl("del-groups", f"group_id={copies}")),
            ("a group added in our range", ofctl("add-group", "group_id=0xf1777777,type=all,bucket=actions=drop")),
            ("a meter changed", ofctl("mod-meter", f"meter={meter},pktps,stats,band=type=drop,rate=1")),
            ("a meter deleted", ofctl("del-meter", f"meter={meter}")),
            ("all groups and meters deleted", lambda: (w.lab.ofctl("n1", "del-groups"), w.lab.ofctl("n1", "del-meters")))]


def under_traffic(w, check):
    """Each is repaired while frames are on their way, and from then on every frame arrives and is copied exactly once."""
    with contextlib.closing(Bench(w)) as b:
        windows = []
        with Captures(b.web, b.far, b.ids) as at:
            with sending(b.web, mixed(udp(b.web, b.far), broadcast(b.web)), rate=500) as out, sending(b.far, udp(b.far, b.web), rate=500) as into:
                for title, hand in hands(w, b.web):
                    b.done(check, title, hand)
                    began = len(out.sent), len(into.sent)
                    out.wait_more(60)
                    into.wait_more(60)
                    windows.append((title, out.sent[began[0]:], into.sent[began[1]:]))
                out.stop()
                into.stop()
            at.settle()
            for title, sent, received in windows:
                whole = set(sent + received)
                check.same(f"{title}, then: far gets every frame", sent, [f for f in at[b.far].frames if f in whole])
                check.same(f"{title}, then: web gets every frame", received, [f for f in at[b.web].frames if f in whole])
                check.same(f"{title}, then: the monitor gets one copy of each", sent + received, [f for f in at[b.ids].frames if f in whole])
        st = b.status()
        check.equal("flows that are not ours are counted", len(FOREIGN), st["foreign_flows"])
        left = ofdump.difference(b.held, w.lab.snapshot())
        check.that("in the end the switches hold what they held, of ours and of others", not left, "\n".join(left))
        check.equal("and nobody's drift but n1's is counted", [0, 0], [b.status(n)["drift_repaired"] for n in ("n2", "n3")])


def a_switch_begins_anew(w, check):
    """ovs-vswitchd restarted, and the bridge replaced by one with the same datapath id."""
    with contextlib.closing(Bench(w)) as b:
        b.held["n1"] = [line for line in b.held["n1"] if line.startswith("0xf10a") or "_id=" in line or "meter=" in line]
        for title, hand in (("ovs-vswitchd restarted", lambda: w.lab.restart_vswitchd("n1")), ("the bridge replaced", lambda: w.lab.replace_bridges("n1"))):
            b.done(check, title, hand)
            w.wait_connected()
            for vm in (b.web, b.far, b.ids):
                w.wait_port(vm)
            w.wait_tap(b.tap, b.web, b.ids)
            w.warm([b.web, b.far])
            exact(check, title, b.web, b.far, b.ids)


STORIES = [under_traffic, a_switch_begins_anew]
