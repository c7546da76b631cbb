#!/usr/bin/python3
"""The lab: cloud nodes on real Open vSwitch, VMs that can be moved, and nothing left afterwards.

    with Lab(nodes=3) as lab:
        web = lab.add_vm("web", "n1", "02:00:00:00:00:01", ["10.0.0.1"])
        lab.migrate(web, "n2")

Run as a program it keeps a lab up to look round in (`lab.py up`), or removes what dead labs left
behind (`lab.py cleanup`).
"""

import argparse
import atexit
import contextlib
import os
import shlex
import signal
import sys
import tempfile
import time

from mininet.link import Link
from mininet.log import setLogLevel
from mininet.net import Mininet

import netns
import ofdump
import registry
from topo import LAYOUTS, TUNNELS, VM, VM_MTU, FlowTapTopo, run, run_all


class Lab:
    """One lab. Not for concurrent use; captures and senders have threads of their own."""

    def __init__(self, nodes=3, tunnel="geneve", keep_logs=False, layout="one-bridge"):
        if os.geteuid() != 0:
            raise PermissionError("the lab makes network namespaces: run it as root")
        setLogLevel("warning")
        self.count, self.tunnel, self.keep_logs, self.layout = nodes, tunnel, keep_logs, layout
        with registry.locked():
            registry.remove_stale()
            self.subnet = free_subnet()
            self.name = f"ftlab{self.subnet}"
            self.directory = tempfile.mkdtemp(prefix=f"{self.name}-", dir="/tmp")
            self.entry = registry.Entry(f"{self.name}-{os.getpid()}", self.directory)
        os.chmod(self.directory, 0o755)
        self.mgmt = f"10.255.{self.subnet}"
        self.controller_ip = f"{self.mgmt}.1"
        self.openflow_addr = f"{self.controller_ip}:6653"
        self.net = None
        self.underlay = None
        self.nodes = {}
        self.vms = {}
        self.on_stop = []  # called, last first, before anything is torn down

    # Up and down

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_exc):
        self.stop()

    def start(self):
        """Bring the nodes up, each pointed at a controller on the management address."""
        atexit.register(self.stop)
        stop_on_signals()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self):
        Mininet.inited = True  # its init would raise kernel limits for the whole machine
        topo = FlowTapTopo(nodes=self.count, tunnel=self.tunnel, layout=self.layout, mgmt=self.mgmt, logs=self.directory)
        self.net = Mininet(topo=topo, controller=None, link=Link, build=False)
        self.net.build()
        self.underlay = self.net["underlay"]
        self.nodes = {name: self.net[name] for name in topo.hosts() if name != "underlay"}

        self.entry.add_link(self.name)
        run(["ip", "-batch", "-"], f"""link add {self.name} type veth peer name root-mgmt netns {self.underlay.pid}
addr add {self.controller_ip}/24 dev {self.name}
link set {self.name} up
""")
        self.underlay.start({
            "br-under": [f"{n}-phy" for n in self.nodes],
            "br-mgmt": ["root-mgmt"] + [f"{n}-mgmt" for n in self.nodes],
        })
        controller = f"tcp:{self.openflow_addr}"
        outputs = run_all([(netns.inside(n.pid, "sh"), n.start_script(controller)) for n in self.nodes.values()])
        for node, output in zip(self.nodes.values(), outputs):
            node.ovsdb_pid, node.vswitchd_pid = map(int, output.split()[-2:])
            self.entry.add_process(node.ovsdb_pid)
            self.entry.add_process(node.vswitchd_pid)
            netns.widen(node.vswitchd_pid)

    def stop(self):
        """Tear everything down. May be called again, and at any point of a start that failed."""
        if self.entry is None:
            return
        atexit.unregister(self.stop)
        with ignored_signals():
            for hook in reversed(self.on_stop):
                with contextlib.suppress(Exception):
                    hook()
            entry, self.entry = self.entry, None
            entry.undo(self.keep_logs)
            for host in list(self.net.hosts) if self.net else []:
                with contextlib.suppress(OSError, ValueError):
                    host.privateDirs = []  # the mounts go with the namespace
                    host.terminate()
            self.net, self.nodes, self.vms = None, {}, {}
            # The mount point /run/openvswitch stays: removing it would take the mounts of another
            # lab's nodes with it.

    # VMs

    def add_vm(self, name, node, mac, ips=(), quiet=False):
        """One VM with its interface plugged into node. See add_vms."""
        return self.add_vms([dict(name=name, node=node, mac=mac, ips=ips, quiet=quiet)])[0]

    add_monitor = add_vm  # a security VM is a VM; only its port object differs

    def add_vms(self, wanted):
        """Start VMs and plug their interfaces in; node None leaves a VM unplugged.

        Each is a dict of name (also the switch port's name, at most 15 characters), node, mac, ips
        and quiet; and of interface, where the switch port has another VM's name: the same VM, about to
        go on elsewhere. Commands are batched: many VMs cost little more than one.
        """
        made, links = [], []
        for w in wanted:
            name = w["name"]
            if len(name) > 15 or name in self.nodes or name in self.vms:
                raise ValueError(f"VM name {name!r}: at most 15 characters, and not used before")
            vm = self.net.addHost(name, cls=VM, ip=None, mac=w["mac"], ips=w.get("ips", ()), quiet=w.get("quiet", False),
                                  interface=w.get("interface"))
            self.vms[name] = vm
            made.append(vm)
            # Unplugged interfaces wait in the underlay's namespace, connected to nothing.
            links.append(f"link add eth0 netns {vm.pid} address {vm.mac} mtu {VM_MTU} type veth "
                         f"peer name {vm.interface} mtu {VM_MTU} netns {self.underlay.pid}")
        run(["ip", "-batch", "-"], "\n".join(links) + "\n")
        run_all([(netns.inside(vm.pid, "sh"), vm.start_script()) for vm in made])
        self._plug([(vm, w["node"]) for vm, w in zip(made, wanted) if w.get("node")])
        return made

    def remove_vm(self, vm):
        """Unplug and stop a VM."""
        self.remove_vms([vm])

    def remove_vms(self, vms):
        """Unplug and stop VMs."""
        by_node = {}
        for vm in vms:
            by_node.setdefault(vm.node, []).append(vm)
        run_all([(self.vsctl(node, *(f"--if-exists del-port br-int {vm.interface}" for vm in gone)), None)
                 for node, gone in by_node.items() if node])
        # Explicitly: with their namespaces they would go only some time later.
        run_all([(netns.inside((node or self.underlay).pid, "ip", "-batch", "-"),
                  "".join(f"link del dev {vm.interface}\n" for vm in gone)) for node, gone in by_node.items()])
        for vm in vms:
            del self.vms[vm.name]
            self.net.delHost(vm)

    def unplug(self, vm):
        """Take the VM's interface off its switch. The VM keeps its eth0, now without a peer."""
        node, vm.node = vm.node, None
        run(self.vsctl(node, f"del-port br-int {vm.interface}"))
        run(netns.inside(node.pid, "ip", "link", "set", "dev", vm.interface, "netns", str(self.underlay.pid)))

    def plug(self, vm, node):
        """Attach an unplugged VM's interface to a node's switch."""
        self._plug([(vm, node)])

    def _plug(self, pairs):
        by_node = {}
        for vm, node in pairs:
            by_node.setdefault(self.node(node), []).append(vm)
        moves, adds = [], []
        for node, vms in by_node.items():
            moves += [f"link set dev {vm.interface} netns {node.pid}" for vm in vms]
        run(netns.inside(self.underlay.pid, "ip", "-batch", "-"), "\n".join(moves) + "\n")
        for node, vms in by_node.items():
            adds.append((netns.inside(node.pid, "sh"), "set -e\nsysctl -qw net.ipv6.conf.all.disable_ipv6=1\n"
                         + "".join(f"ip link set dev {vm.interface} up\n" for vm in vms)
                         + "ovs-vsctl --timeout=20 " + " ".join(f"-- add-port br-int {vm.interface}" for vm in vms) + "\n"))
            for vm in vms:
                vm.node = node
        run_all(adds)
        for node in by_node:
            netns.widen(node.vswitchd_pid)

    def migrate(self, vm, node):
        """Move a plugged VM's interface to another node's switch, as fast as it goes.

        The old switch loses the port, then the same interface appears at the new one. The VM's
        namespace, addresses, sockets and open connections stay.
        """
        old, new = vm.node, self.node(node)
        if old is new:
            raise ValueError(f"{vm.name} is on {new.name} already")
        name = vm.interface
        run(["sh", "-e"], f"""{shlex.join(self.vsctl(old, f'del-port br-int {name}'))}
{shlex.join(netns.inside(old.pid, 'ip', 'link', 'set', 'dev', name, 'netns', str(new.pid)))}
mnexec -a {new.pid} sh -c 'ip link set dev {name} up; exec ovs-vsctl --timeout=20 add-port br-int {name}'
""")
        vm.node = new
        netns.widen(new.vswitchd_pid)

    # Switches

    def node(self, node):
        """The CloudNode of that name; a CloudNode is passed through."""
        return self.nodes[node] if isinstance(node, str) else node

    def vsctl(self, node, *transactions):
        """The command line of one ovs-vsctl transaction on a node."""
        words = []
        for t in transactions:
            words += ["--", *t.split()]
        return netns.inside(self.node(node).pid, "ovs-vsctl", "--timeout=20", *words)

    def ofctl(self, node, command, *args, stdin=None, bridge=None):
        """Run ovs-ofctl COMMAND BRIDGE ARGS on a node, by default on the bridge that has the pipeline; returns what it says."""
        node = self.node(node)
        return run(netns.inside(node.pid, "ovs-ofctl", "-O", "OpenFlow13", command, bridge or node.bridges[-1], *args), stdin)

    def appctl(self, node, *args):
        """Run ovs-appctl against a node's ovs-vswitchd; returns what it says."""
        return run(netns.inside(self.node(node).pid, "ovs-appctl", *args))

    def ofport(self, vm):
        """The OpenFlow port number of a plugged VM."""
        return self._ofport(vm.node, vm.interface)

    @staticmethod
    def _ofport(node, interface):
        return int(run(netns.inside(node.pid, "ovs-vsctl", "get", "interface", interface, "ofport")))

    def entering(self, vm):
        """The match of what a plugged VM sends, where it comes into the pipeline, as dump-flows prints it."""
        port = self.ofport(vm)
        if len(vm.node.bridges) == 1:
            return f"in_port={port}"
        return f"pkt_mark=0x{port:x}0000/0xffff0000,in_port={self._ofport(vm.node, 'patch-int')}"

    def flows(self, node):
        """Every flow of the pipeline with its statistics: a list of ofdump.Flow."""
        return ofdump.flows(self.ofctl(node, "dump-flows"))

    def dump(self, node):
        """Flows, groups and meters of a node as sorted lines, without counters and durations."""
        dumps = [[self.ofctl(node, f"dump-{what}", bridge=b) for what in ("flows", "groups", "meters")] for b in self.node(node).bridges]
        return sorted(line for d in dumps for line in ofdump.normal(*d))

    def snapshot(self):
        """dump() of every node, by name: equal exactly when the switches hold the same."""
        return {name: self.dump(name) for name in self.nodes}

    def point_at(self, node, addresses):
        """Have a node's switches look for controllers at these addresses, and at no others."""
        words, node = [], self.node(node)
        for b in node.bridges:
            words += [f'--id=@{b[3:]}{i} create controller target="tcp:{a}" max_backoff=1000 inactivity_probe=5000' for i, a in enumerate(addresses)]
            words.append(f"set bridge {b} controller={','.join(f'@{b[3:]}{i}' for i in range(len(addresses)))}")
        run(self.vsctl(node, *words))

    def restart_vswitchd(self, node, sig=signal.SIGKILL):
        """Kill a node's ovs-vswitchd and start it again. Its flows are gone, as on a real crash."""
        node = self.node(node)
        started = registry.start_time(node.vswitchd_pid)
        if started is not None:
            registry.kill(node.vswitchd_pid, started, sig)
            registry.wait_gone([(node.vswitchd_pid, started)])
        node.vswitchd_pid = int(run(netns.inside(node.pid, "sh"), node.restart_script()).split()[-1])
        self.entry.add_process(node.vswitchd_pid)
        netns.widen(node.vswitchd_pid)

    def replace_bridges(self, node):
        """Delete a node's bridges and make them anew, with the same datapath ids, and the same VMs at the same port numbers."""
        node = self.node(node)
        plugged = [vm.interface for vm in self.vms.values() if vm.node is node]
        joined = ["patch-tun", "patch-int"] if len(node.bridges) == 2 else []
        numbers = " ".join(f"-- set interface {i} ofport_request={self._ofport(node, i)}" for i in plugged + joined + ["tun0"])
        run(self.vsctl(node, *(f"del-br {b}" for b in node.bridges)))  # by itself, or ovs-vswitchd would see bridges that change little
        run(netns.inside(node.pid, "sh"), f"""set -eu
ovs-vsctl --timeout=20 {node.bridges_script()} {node.tunnel_script()} {' '.join(f'-- add-port br-int {i}' for i in plugged)} {numbers}
{node.controller_script(f'tcp:{self.openflow_addr}')}
""")
        netns.widen(node.vswitchd_pid)

    def heal(self):
        """Start the ovs-vswitchd of every node that has none, after a story that failed half way."""
        for node in self.nodes.values():
            if registry.start_time(node.vswitchd_pid) is None:
                self.restart_vswitchd(node)

    def switch_drops(self):
        """Frames that reached a switch but overran its socket since last asked, by node.

        Such a frame is lost to everyone, also without FlowTap. A scenario that counts exactly
        checks that there were none before it blames anybody.
        """
        drops = {name: netns.take_drops(node.vswitchd_pid) for name, node in self.nodes.items()}
        return {name: n for name, n in drops.items() if n}

    def report(self):
        """What every switch holds, and what it knows of its tunnels, as text for a failed check."""
        parts = []
        for name, node in self.nodes.items():
            if len(node.bridges) > 1:
                with contextlib.suppress(Exception):
                    parts.append(f"--- {name} br-int\n{self.ofctl(name, 'dump-flows', bridge='br-int')}")
            for ask, *words in ((self.ofctl, "dump-flows"), (self.ofctl, "dump-groups"), (self.ofctl, "meter-stats"), (self.appctl, "dpctl/dump-flows", "--names"),
                                (self.appctl, "tnl/neigh/show"), (self.appctl, "fdb/show", "br-phy")):
                with contextlib.suppress(Exception):
                    parts.append(f"--- {name} {' '.join(words)}\n{ask(name, *words)}")
        return "".join(parts)


def free_subnet():
    """The first K for which nothing in this namespace uses 10.255.K.0/24, and no lab is about to."""
    used = run(["ip", "-o", "-4", "addr"])
    taken = {name.split("-")[0] for name in registry.names()}
    for k in range(256):
        if f" 10.255.{k}." not in used and f"ftlab{k}" not in taken:
            return k
    raise RuntimeError("all of 10.255.0.0/16 is in use here")


def stop_on_signals():
    """Turn signals into exceptions, so that the lab is torn down; SIGINT also for a background job."""
    def leave(number, _frame):
        raise SystemExit(128 + number)
    for sig in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, leave)
    signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def ignored_signals():
    """A tear-down that has begun is finished: it takes two seconds."""
    before = {s: signal.signal(s, signal.SIG_IGN) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for sig, handler in before.items():
            signal.signal(sig, handler)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["up", "cleanup"])
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--vms", type=int, default=6)
    parser.add_argument("--tunnel", choices=TUNNELS, default="geneve")
    parser.add_argument("--layout", choices=LAYOUTS, default="one-bridge")
    args = parser.parse_args()
    if args.command == "cleanup":
        for name in registry.remove_stale():
            print(f"removed {name}")
        return 0
    begin = time.monotonic()
    with Lab(args.nodes, args.tunnel, layout=args.layout) as lab:
        lab.add_vms([
            dict(name=f"vm{i}", node=f"n{(i - 1) % args.nodes + 1}", mac=f"02:00:00:00:00:{i:02x}",
                 ips=[f"10.0.0.{i}", f"fd00::{i:x}"])
            for i in range(1, args.vms + 1)
        ])
        print(f"{args.nodes} nodes and {args.vms} VMs up in {time.monotonic() - begin:.1f} s")
        print(how_to_look(lab))
        print("Ctrl-C ends it.", flush=True)
        signal.pause()
    return 0


def how_to_look(lab):
    """What to type in another terminal to look round."""
    lines = [f"the switches look for their controller at {lab.openflow_addr}; logs are in {lab.directory}"]
    for name, node in lab.nodes.items():
        lines.append(f"  {name}: mnexec -a {node.pid} ovs-ofctl -O OpenFlow13 dump-flows {node.bridges[-1]}")
    for name, vm in lab.vms.items():
        lines.append(f"  {name} on {vm.node.name if vm.node else 'no node'}: mnexec -a {vm.pid} tcpdump -ni eth0")
    return "\n".join(lines)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
