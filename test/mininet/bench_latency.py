"""How long a tap takes: from its POST to the 201, to the first copied frame, to `active`.

A stream of numbered frames of the tap's flow runs all the time in a process of its own. The first
copy's time is the kernel's, taken when the copy reached the monitor's eth0, less the moment before
the first byte of the POST was sent; nothing is subtracted for the stream's pacing, which is
reported. `active` is when a watch stream that is open all the time says so. Taps are made and
deleted (?wait) one after the other.
"""

import time

from bench_figures import Histogram, load, summary
from bench_http import Broken, Line, TapWatch, many
from bench_stream import Copies, Stream
from world import udp

RATE = 2000  # frames a second of the tap's flow
MATCH = "nw_proto=UDP; tp_dst=5000"


def measure(w, check, title, web, peer, monitor, count, direction="both"):
    """count taps of web towards monitor; returns the figures, in milliseconds."""
    http = w.flowtapd.http
    created, first, active, deleted, gaps = [], [], [], [], []
    copies_seen = lost = twice = 0
    rounds, proofs = Histogram(w.api, "flowtap_round_seconds"), Histogram(w.api, "flowtap_proof_seconds")
    before, sentinels = load(), w.api.metric("flowtap_packet_ins_total", kind="sentinel")
    w.lab.switch_drops()
    with Stream(web, udp(web, peer), RATE), Copies(monitor) as copies, TapWatch(http, web.name) as watch, Line(http) as line:
        for n in range(count + 1):
            copies.waiting()
            w.taps_made = getattr(w, "taps_made", 0) + 1
            body = {"id": f"b{w.taps_made}", "src": web.name, "dst": monitor.name, "action": "forward",
                    "match": MATCH, "direction": direction}
            _, sent, answered = line.must(201, "POST", "/v1/taps", body)
            said = watch.active(body["id"])
            seen, deadline = [], time.monotonic() + 5
            # A while longer, so that there are copies to count after `active`.
            while not seen or seen[-1][0] < said + 20_000_000:
                if time.monotonic() > deadline:
                    raise Broken(f"{title}: tap {body['id']} is active and nothing is copied")
                time.sleep(0.002)
                seen += copies.waiting()
            _, going, gone = line.must(204, "DELETE", f"/v1/taps/{body['id']}?wait=30")
            if n == 0:
                continue  # the first one finds cold code and caches everywhere
            created.append((answered - sent) / 1e6)
            first.append((seen[0][0] - sent) / 1e6)
            active.append((said - sent) / 1e6)
            deleted.append((gone - going) / 1e6)
            numbers = [number for _, number in seen]
            whole = [number for at, number in seen if at > said]
            copies_seen += len(whole)
            twice += len(numbers) - len(set(numbers))
            lost += whole[-1] - whole[0] + 1 - len(set(whole)) if whole else 0
            gaps += [(b[0] - a[0]) / 1e6 for a, b in zip(seen, seen[1:]) if b[1] == a[1] + 1]
    dropped = w.lab.switch_drops()
    check.that(f"{title}: {copies_seen} frames after `active` were copied exactly once",
               not twice and lost <= sum(dropped.values()), f"{twice} twice, {lost} not at all, of which lost before any switch: {dropped}")
    return {"title": title, "created": summary(created), "first_copy": summary(first), "active": summary(active),
            "deleted": summary(deleted), "pacing": summary(gaps), "round": rounds.taken(), "proof": proofs.taken(),
            # A tap is made and deleted: two proofs on each of the switches.
            "sentinels_per_tap": (w.api.metric("flowtap_packet_ins_total", kind="sentinel") - sentinels) / (count + 1),
            "load": [before, load()], "raw": {"created": created, "first_copy": first, "active": active}}


class Others:
    """Taps that are there besides: on ports that are attached and on ports that are on no switch."""

    PER_NODE = 10  # attached ports
    MONITORS = 6
    ABSENT = 1000  # ports that are on no switch

    def __init__(self, w, network):
        self.w, self.network, self._made, self._absent = w, network, {}, False
        names = list(w.lab.nodes)[:3]
        self.attached = [vm.name for vm in w.vms(network, *((f"o{n}x{i}", n) for n in names for i in range(self.PER_NODE)), warm=False)]
        self.monitors = [vm.name for vm in w.monitors(*((f"om{i}", names[i % 3]) for i in range(self.MONITORS)))]
        self.absent = [f"absent{i}" for i in range(self.ABSENT)]

    def have(self, attached, absent):
        """Bring about so many taps on attached and on absent ports; returns the seconds that took."""
        if absent and not self._absent:
            many(self.w.flowtapd.http, [("POST", "/v1/ports", {"id": id, "network": self.network}) for id in self.absent], 201)
            self._absent = True
        want = dict(self._wanted("a", self.attached, attached) + self._wanted("u", self.absent, absent))
        begin = time.monotonic()
        many(self.w.flowtapd.http, [("DELETE", f"/v1/taps/{id}", None) for id in self._made if id not in want], 204)
        many(self.w.flowtapd.http, [("POST", "/v1/taps", body) for id, body in want.items() if id not in self._made], 201)
        self._made = want
        return time.monotonic() - begin

    def _wanted(self, prefix, ports, count):
        """count taps spread over ports, in and out by turns, a TCP port of its own each.

        (Two of direction `both` would overlap: the reply of one may be the request of the other.)
        """
        out = []
        for i in range(count):
            id, k = f"{prefix}{i}", i // len(ports)
            out.append((id, {"id": id, "src": ports[i % len(ports)], "dst": self.monitors[i % len(self.monitors)], "action": "forward",
                             "match": f"nw_proto=TCP; tp_dst={1 + k // 2}", "direction": ("in", "out")[k % 2]}))
        return out

    def settle(self, web, monitor, timeout=300):
        """Wait until the switches have carried out everything; returns the seconds that took."""
        begin = time.monotonic()
        with Line(self.w.flowtapd.http) as line:
            while True:
                body = {"id": "settle", "src": web.name, "dst": monitor.name, "action": "forward", "match": MATCH}
                line.must(201, "POST", "/v1/taps?wait=50", body)
                state = line.must(200, "GET", "/v1/taps/settle")[0]["status"]["state"]
                line.must(204, "DELETE", "/v1/taps/settle?wait=50")
                if state == "active":
                    return time.monotonic() - begin
                if time.monotonic() - begin > timeout:
                    raise Broken(f"after {timeout} s the switches are not where they should be")
