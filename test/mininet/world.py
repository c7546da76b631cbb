"""What scenarios speak of: networks, VMs, monitors and taps, in the lab and in the API at once."""

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor

import frames
import path
from daemon import Flowtapd
from traffic import Captures, Sender, send

WAIT = 15  # seconds: the longest that any change may take


class NotReady(Exception):
    """What a scenario stands on did not come about; not a finding about its subject."""


class World:
    """A lab with a running flowtapd. Objects are made through the API only."""

    def __init__(self, lab, flowtapd, flowtapctl=None, http="127.0.0.1"):
        self.lab = lab
        self.flowtapctl = flowtapctl
        self.flowtapd = Flowtapd(lab, flowtapd, http)
        self.api = self.flowtapd.api
        self.changes, self.seed = 20, None  # of the scenario escape
        self.chaos_seconds = 15  # of the scenario chaos
        self._macs = 0
        self._taps = 0

    def start(self, *flags):
        """Start flowtapd and wait until it serves every node."""
        self.flowtapd.start(*flags)
        known = {n["id"] for n in self.api.list("nodes")}
        for node in self.lab.nodes.values():
            if node.name not in known:
                body = {"id": node.name, "datapath_id": node.datapath_id, "tunnel_ip": node.tunnel_ip}
                if node.tunnel_datapath_id:
                    body["tunnel_datapath_id"] = node.tunnel_datapath_id
                self.api.create("nodes", body)
        self.wait_connected()

    def wait_connected(self):
        deadline = time.monotonic() + WAIT
        bridges = sum(len(n.bridges) for n in self.lab.nodes.values())
        while self.api.metric("flowtap_switches") < bridges:  # until then, what a node's status says is of an earlier life
            if time.monotonic() > deadline:
                raise NotReady(f"not every switch has connected after {WAIT} s")
            time.sleep(0.02)
        for name in self.lab.nodes:
            self.api.wait_state("nodes", name, "connected", timeout=WAIT)

    def reset(self):
        """Delete every tap, pool, port and network, and stop every VM; start flowtapd if it is gone."""
        self.lab.heal()
        if not self.flowtapd.running:
            self.start()
        with ThreadPoolExecutor(16) as at_once:  # changes that are due together cost one round
            def delete(collection, ids, wait=WAIT):
                list(at_once.map(lambda id: self.api.delete(collection, id, wait=wait), ids))
            delete("policies", [p["id"] for p in self.api.list("policies")])
            delete("taps", [t["id"] for t in self.api.list("taps")])
            delete("pools", [p["id"] for p in self.api.list("pools")])
            ports = self.api.list("ports")
            two_armed = [p["id"] for p in ports if p.get("return_port")]  # they refer to others
            delete("ports", two_armed)
            delete("ports", [p["id"] for p in ports if p["id"] not in two_armed])
            delete("networks", [n["id"] for n in self.api.list("networks")], wait=None)
        self.lab.remove_vms(list(self.lab.vms.values()))
        self._macs = 0

    def report(self):
        """Everything about the state, for a failed check."""
        parts = [self.lab.report()]
        with contextlib.suppress(Exception):
            for collection in ("nodes", "ports", "pools", "policies", "taps"):
                parts.append(f"--- {collection}\n" + "".join(f"{item}\n" for item in self.api.list(collection)))
        parts.append(f"--- flowtapd's log\n{self.flowtapd.tail()}")
        return "".join(parts)

    def at_rest(self, still=0.5, wait=WAIT):
        """The switches' snapshot once it has not changed for that many seconds: what to compare with later."""
        deadline = time.monotonic() + wait
        last, since = self.lab.snapshot(), time.monotonic()
        while time.monotonic() - since < still:
            if time.monotonic() > deadline:
                raise NotReady(f"the switches still change after {wait:.0f} s")
            now = self.lab.snapshot()
            if now != last:
                last, since = now, time.monotonic()
        return last

    # Making things

    def network(self, id):
        self.api.create("networks", {"id": id})
        return id

    def vms(self, network, *wanted, quiet=True, warm=True):
        """VMs with their ports: each a (name, node) or (name, node, options of the port).

        A port's options are those of the API (mac, ips, port_security, ...), by default a MAC of
        its own and one IPv4 and one IPv6 address. Its VM has these addresses; `undeclared` names
        those of "mac" and "ips" that the port does not tell the API. Returns when every port is
        active and every pair of the new VMs has exchanged a frame.
        """
        ports = []
        for name, node, *rest in wanted:
            self._macs += 1
            options = dict(rest[0]) if rest else {}
            mac = options.pop("mac", f"02:00:00:00:{self._macs >> 8:02x}:{self._macs & 255:02x}")
            ips = options.pop("ips", [f"10.0.0.{self._macs}", f"fd00::{self._macs:x}"])
            # A kernel with IPv6 also speaks from its link-local address.
            declared = ips + ([] if quiet else [frames.link_local(mac)])
            undeclared = options.pop("undeclared", ())
            body = dict({"id": name, "network": network, "kind": "vm", "mac": mac, "ips": declared}, **options)
            body = {k: v for k, v in body.items() if k not in undeclared}
            ports.append((body, dict(name=name, node=node, mac=mac, ips=ips, quiet=quiet)))
        made = self._ports(ports)
        if warm:
            self.warm(made)
        return made

    def monitors(self, *wanted):
        """Security VMs: each a (name, node) or (name, node, options of the port). They are quiet: a monitor listens."""
        ports = []
        for name, node, *rest in wanted:
            self._macs += 1
            mac = f"02:00:00:00:{self._macs >> 8:02x}:{self._macs & 255:02x}"
            ports.append(({"id": name, "kind": "monitor", **(rest[0] if rest else {})}, dict(name=name, node=node, mac=mac, quiet=True)))
        return self._ports(ports)

    def _ports(self, ports):
        for body, _ in ports:
            self.api.create("ports", body)
        made = self.lab.add_vms([vm for _, vm in ports])
        for vm in made:
            if vm.node:
                self.wait_port(vm)
        return made

    def wait_port(self, vm):
        """Wait until the controller has the VM's port active on the node that it is plugged into."""
        return self.api.wait_state("ports", vm.name, "active", timeout=WAIT, also=lambda p: p["status"].get("node") == vm.node.name)

    def wait_tap(self, id, src, dst):
        """Wait until a tap is active between the nodes where its two ends are plugged in now."""
        nodes = (src.node.name, dst.node.name)
        return self.api.wait_state("taps", id, "active", timeout=WAIT,
                                   also=lambda t: (t["status"].get("src_node"), t["status"].get("dst_node")) == nodes)

    def warm(self, vms):
        """Exchange a frame between each two VMs, so that later frames find their tunnel resolved."""
        for a in vms:
            for b in vms:
                if a is not b:
                    self._reach(a, b)

    def _reach(self, a, b, timeout=10.0):
        probe = udp(a, b)(0xFFFFFFFF)
        with Captures(b) as at:
            deadline = time.monotonic() + timeout
            while not at[b].wait_until(lambda f: f == probe, 0.0):
                if time.monotonic() > deadline:
                    raise NotReady(f"no frame from {a.name} on {a.node.name} reaches {b.name} on {b.node.name}\n{path.between(self.lab, a, b, probe)}")
                send(a, [probe])
                at[b].wait_until(lambda f: f == probe, 0.1)
            at.settle(quiet=0.02)

    def pool(self, id, mode, *members, weights=()):
        """A pool of monitors; without weights each has 1."""
        weights = weights or [1] * len(members)
        self.api.create("pools", {"id": id, "mode": mode, "members": [{"port": m.name, "weight": n} for m, n in zip(members, weights)]})
        return id

    # Taps

    def tap(self, src, dst, match=None, direction="both", wait=WAIT, state="active", until_active=False, **fields):
        """POST a tap, wait until it is in the state, return its id. NotReady when it is not.

        dst is a monitor, or the id of a pool.

        until_active: poll the tap's status instead of waiting in the POST, as a script would.
        """
        self._taps += 1
        id = fields.pop("id", f"t{self._taps}")
        body = dict({"id": id, "src": src.name, **({"dst_pool": dst} if isinstance(dst, str) else {"dst": dst.name}), "direction": direction, "action": "forward"}, **fields)
        if match is not None:
            body["match"] = match
        got = self.api.create("taps", body, wait=None if until_active else wait)
        if until_active:
            got = self.api.wait_state("taps", id, state, timeout=WAIT)
        if got["status"]["state"] != state:
            raise NotReady(f"tap {id} after {wait} s: {got['status']}")
        return id

    def untap(self, id):
        """DELETE a tap and wait until no switch copies for it."""
        self.api.delete("taps", id, wait=WAIT)

    def redirect(self, src, dst, match=None, direction="both", **fields):
        """POST a tap that redirects; as tap."""
        return self.tap(src, dst, match, direction, **{"action": "redirect", **fields})

    @contextlib.contextmanager
    def redirected(self, *args, **fields):
        """A redirect for the length of a block."""
        id = self.redirect(*args, **fields)
        try:
            yield id
        finally:
            self.untap(id)

    @contextlib.contextmanager
    def tapped(self, *args, **fields):
        """A tap for the length of a block."""
        id = self.tap(*args, **fields)
        try:
            yield id
        finally:
            self.untap(id)


# Frames of VMs, by role. Each returns a function from a number to a frame.


def udp(a, b, v6=False, sport=4000, dport=5000, size=None, **options):
    def build(payload):
        i = address(a, v6), address(b, v6)
        return frames.udp(a.mac, b.mac, *i, sport, dport, payload, **options)
    return _numbered(build, size)


def tcp(a, b, v6=False, sport=4000, dport=80, size=None, **options):
    def build(payload):
        i = address(a, v6), address(b, v6)
        return frames.tcp(a.mac, b.mac, *i, sport, dport, payload, flags=frames.PSH | frames.ACK, **options)
    return _numbered(build, size)


def ping(a, b, v6=False, reply=False):
    return _numbered(lambda payload: frames.ping(a.mac, b.mac, address(a, v6), address(b, v6), payload, reply))


def arp_request(a, b):
    """ARP has no payload to number: repeats are told apart by their count."""
    return lambda _n: frames.arp(a.mac, address(a), address(b))


def multicast(a, v6=False, group=None, dport=5353):
    group = group or ("ff02::fb" if v6 else "224.0.0.251")
    return _numbered(lambda payload: frames.udp(a.mac, frames.multicast_mac(group), address(a, v6), group, dport, dport, payload))


def broadcast(a, dport=6000):
    return _numbered(lambda payload: frames.udp(a.mac, frames.BROADCAST, address(a), "255.255.255.255", dport, dport, payload))


def address(vm, v6=False):
    return next(i for i in vm.ips if (":" in i) == v6)


def mixed(*makers):
    """Frames of several kinds in turn; the number runs through."""
    return lambda n: makers[n % len(makers)](n)


def some(make, count, first=0):
    """count frames, numbered from first."""
    return [make(n) for n in range(first, first + count)]


def sending(vm, make, rate=1000, unplugged=False):
    """A sender that runs for the length of a block. unplugged: see Sender."""
    return Sender(vm, make, None, rate, unplugged)


def _numbered(build, size=None):
    if size is None:
        return lambda n: build(frames.numbered(n))
    return lambda n: frames.fill(build, size, n)


def exact(check, what, web, peer, ids, count=200):
    """web is tapped to ids, both ways: a plain count of its copies under traffic with peer."""
    with Captures(web, peer, ids) as at:
        with sending(web, mixed(udp(web, peer), broadcast(web))) as out, sending(peer, mixed(udp(peer, web), broadcast(peer))) as into:
            out.wait_sent(count)
            into.wait_sent(count)
            out.stop()
            into.stop()
        at.settle()
    check.same(f"{what}: {peer.name} gets every frame of {web.name}", out.sent, at[peer].frames)
    check.same(f"{what}: {web.name} gets every frame of {peer.name}", into.sent, at[web].frames)
    return check.same(f"{what}: the monitor gets one copy of each", out.sent + into.sent, at[ids].frames)
