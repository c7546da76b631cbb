"""The lab as a Mininet topology: cloud nodes with an Open vSwitch each, on one underlay.

    root namespace          underlay (a node of its own)            n1, n2, n3 ...
    ftlab0 10.255.0.1 ───── br-mgmt ─────────────────────────────── mgmt0 10.255.0.11 ...
    (flowtapd)              br-under (MTU 1600) ─────────────────── phy0 ── br-phy 172.16.0.1 ...
                                                                            br-int ── tun0
                                                                             ├ web ═══ eth0 (a VM)

In the layout two-bridge tun0 is on br-tun, which patch ports join to br-int.
"""

import subprocess

from mininet.node import Node
from mininet.topo import Topo

import netns

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
UNDERLAY_MTU = 1600
VM_MTU = 1500
PATIENCE = 60  # seconds for any one command
TUNNELS = ("geneve", "vxlan", "gre")
LAYOUTS = ("one-bridge", "two-bridge")


class CommandFailed(Exception):
    """A command of the lab failed; the text has the command and what it said."""


def run(command, stdin=None):
    """Run a command to its end and return its output, or raise CommandFailed."""
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=PATIENCE)
    except subprocess.TimeoutExpired as e:
        raise CommandFailed(f"{' '.join(command)}\n{stdin or ''}no end after {PATIENCE} s") from e
    if done.returncode != 0:
        raise CommandFailed(f"{' '.join(command)}\n{stdin or ''}{done.stdout}{done.stderr}")
    return done.stdout


def run_all(commands):
    """Run (command, stdin) pairs at the same time; return their outputs in order."""
    running = []
    for command, stdin in commands:
        p = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        p.stdin.write(stdin or "")
        p.stdin.close()
        running.append((p, command, stdin))
    outputs, failures = [], []
    for p, command, stdin in running:
        outputs.append(p.stdout.read())
        p.stdout.close()
        if p.wait() != 0:
            failures.append(f"{' '.join(command)}\n{stdin or ''}{outputs[-1]}")
    if failures:
        raise CommandFailed("\n".join(failures))
    return outputs


class Quiet(Node):
    """A Mininet node whose addresses the lab sets itself."""

    def config(self, **_params):
        return {}


class Underlay(Quiet):
    """The two wires between everything: br-under for tunnels, br-mgmt for OpenFlow."""

    def start(self, ports):
        """Make the bridges. ports maps each bridge to its interfaces."""
        lines = ["link set lo up"]
        for bridge, interfaces in ports.items():
            mtu = UNDERLAY_MTU if bridge == "br-under" else VM_MTU
            lines.append(f"link add {bridge} mtu {mtu} type bridge mcast_snooping 0")
            lines.append(f"link set {bridge} up")
            for name in interfaces:
                lines.append(f"link set {name} mtu {mtu} master {bridge} up")
        # The bridges carry other people's frames only: keep the kernel from adding its own.
        run(netns.inside(self.pid, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1"))
        run(netns.inside(self.pid, "ip", "-batch", "-"), "\n".join(lines))


class CloudNode(Quiet):
    """One cloud node: a network namespace with an Open vSwitch of its own.

    number is 1 for n1 and so on: the datapath ids, the tunnel address 172.16.0.number and the
    management address mgmt.(10+number) follow from it. bridges are the node's; the last has the
    tunnel and the pipeline, the first the VMs.
    """

    PRIVATE = ("/var/run/openvswitch", "/etc/openvswitch", "/var/log/openvswitch", "/var/lib/openvswitch")

    def __init__(self, name, number=1, tunnel="geneve", layout="one-bridge", mgmt="10.255.0", logs="/tmp", **params):
        assert tunnel in TUNNELS and layout in LAYOUTS, (tunnel, layout)
        self.number, self.tunnel, self.mgmt, self.logs = number, tunnel, mgmt, logs
        self.tunnel_ip = f"172.16.0.{number}"
        # Restarted, Open vSwitch can choose another MAC; others would send to the old one for a quarter of an hour.
        self.tunnel_mac = f"02:ff:00:00:{number >> 8:02x}:{number & 255:02x}"
        self.datapath_id, self.tunnel_datapath_id = f"{number:016x}", None
        self.log_levels = ""  # more words for ovs-vswitchd's next start
        self.bridges = ["br-int"]
        if layout == "two-bridge":
            self.tunnel_datapath_id = f"{0x1000 + number:016x}"
            self.bridges.append("br-tun")
        super().__init__(name, privateDirs=list(self.PRIVATE), **params)

    def start_script(self, controller):
        """A shell script for this node's namespace that brings everything up.

        The kernel, too, hears what comes in by phy0, and would say that the tunnel address is there: whoever
        heard that last would send to phy0's MAC, which is nobody's, for a quarter of an hour.
        """
        return f"""set -eu
sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
ip -batch - <<END
link set lo up
addr add {self.mgmt}.{10 + self.number}/24 dev mgmt0
link set mgmt0 up
link set phy0 mtu {UNDERLAY_MTU} arp off up
END
ovsdb-tool create /etc/openvswitch/conf.db {SCHEMA}
ovsdb-server --remote=punix:/var/run/openvswitch/db.sock --no-chdir --detach --pidfile \\
  --log-file={self.logs}/{self.name}-ovsdb.log -vconsole:off /etc/openvswitch/conf.db
ovs-vsctl --no-wait init -- set Open_vSwitch . external-ids:hostname={self.name}
{self.vswitchd_script()}
ovs-vsctl --timeout=20 \\
  -- add-br br-phy -- set bridge br-phy datapath_type=netdev fail_mode=standalone other-config:hwaddr=\"{self.tunnel_mac}\" \\
  -- add-port br-phy phy0 -- set interface br-phy mtu_request={UNDERLAY_MTU} \\
  {self.bridges_script()} {self.tunnel_script()}
{self.address_script()}
{self.controller_script(controller)}
cat /var/run/openvswitch/ovsdb-server.pid /var/run/openvswitch/ovs-vswitchd.pid
"""

    def bridges_script(self):
        """The node's bridges and, of two, the patch ports that join them, as parts of an ovs-vsctl command."""
        parts = [f"-- add-br {name} -- set bridge {name} datapath_type=netdev fail_mode=secure protocols=OpenFlow13 "
                 f"other-config:datapath-id={dpid} other-config:disable-in-band=true"
                 for name, dpid in zip(self.bridges, (self.datapath_id, self.tunnel_datapath_id))]
        if len(self.bridges) == 2:
            parts += [f"-- add-port {bridge} {name} -- set interface {name} type=patch options:peer={peer}"
                      for bridge, name, peer in (("br-int", "patch-tun", "patch-int"), ("br-tun", "patch-int", "patch-tun"))]
        return " ".join(parts)

    def tunnel_script(self):
        """The tunnel port, as a part of an ovs-vsctl command."""
        return (f"-- add-port {self.bridges[-1]} tun0 -- set interface tun0 type={self.tunnel} "
                f"options:remote_ip=flow options:key=flow options:local_ip={self.tunnel_ip}")

    def vswitchd_script(self):
        return (
            "ovs-vswitchd --no-chdir --detach --pidfile "
            f"--log-file={self.logs}/{self.name}-vswitchd.log -vconsole:off {self.log_levels} unix:/var/run/openvswitch/db.sock"
        )

    def address_script(self):
        """The tunnel address sits on br-phy's internal port, which goes when ovs-vswitchd goes.

        Rarely, on a busy machine, Open vSwitch overlooks that it is there, and takes no tunnelled frames:
        then it is given again, and the script fails where that does not help either.
        """
        return f"""address() {{
  for again in 1 2 3 4 5 6 7 8 9 10; do
    ip addr replace {self.tunnel_ip}/24 dev br-phy
    ip link set br-phy up
    for wait in 1 2 3 4 5 6 7 8 9 10; do
      ovs-appctl tnl/ports/show -v | grep -qF 'dst={self.tunnel_ip},' && return
      sleep 0.1
    done
    ip addr flush dev br-phy
  done
  echo "Open vSwitch does not see the tunnel address {self.tunnel_ip} on br-phy" >&2
  return 1
}}
address"""

    def controller_script(self, controller):
        if not controller:
            return ""
        return "ovs-vsctl --timeout=20 " + " ".join(f"-- {t}" for t in self.controller_transactions(controller))

    def controller_transactions(self, controller):
        """What makes every bridge look for its controller there."""
        return [t for b in self.bridges for t in (f"set-controller {b} {controller}", f"set controller {b} max_backoff=1000 inactivity_probe=5000")]

    def restart_script(self):
        return f"set -eu\n{self.vswitchd_script()}\n{self.address_script()}\ncat /var/run/openvswitch/ovs-vswitchd.pid\n"


class VM(Quiet):
    """A VM: a namespace with eth0, whose other end is a port of a cloud node's br-int.

    A quiet VM has no addresses and no IPv6: its kernel neither sends nor answers anything, so all
    frames on eth0 are those that a scenario made.
    """

    def __init__(self, name, mac=None, ips=(), quiet=False, interface=None, **params):
        self.mac, self.ips, self.quiet = mac, list(ips), quiet
        self.interface = interface or name  # the name of the switch port
        self.node = None  # the CloudNode that carries the interface
        super().__init__(name, **params)

    def start_script(self):
        """A shell script for this VM's namespace that configures eth0 once it is there."""
        off = 1 if self.quiet else 0
        lines = [
            "set -eu",
            f"sysctl -qw net.ipv6.conf.all.disable_ipv6={off} net.ipv6.conf.default.disable_ipv6={off} "
            "net.ipv6.conf.eth0.accept_dad=0 net.ipv6.conf.eth0.router_solicitations=0",
            "ethtool -K eth0 tx off >/dev/null",
            "ip link set lo up",
        ]
        if not self.quiet:
            lines += [f"ip addr add {ip} dev eth0{' nodad' if ':' in ip else ''}" for ip in map(with_prefix, self.ips)]
        lines.append("ip link set eth0 up")
        return "\n".join(lines) + "\n"


def with_prefix(ip):
    """An address with the prefix length of its kind: everyone is on one link."""
    return f"{ip}/64" if ":" in ip else f"{ip}/24"


class FlowTapTopo(Topo):
    """N cloud nodes on one underlay. VMs come later, by Lab.add_vm."""

    def build(self, nodes=3, tunnel="geneve", layout="one-bridge", mgmt="10.255.0", logs="/tmp"):
        self.addHost("underlay", cls=Underlay, ip=None)
        for number in range(1, nodes + 1):
            name = f"n{number}"
            self.addHost(name, cls=CloudNode, ip=None, number=number, tunnel=tunnel, layout=layout, mgmt=mgmt, logs=logs)
            self.addLink(name, "underlay", intfName1="phy0", intfName2=f"{name}-phy")
            self.addLink(name, "underlay", intfName1="mgmt0", intfName2=f"{name}-mgmt")


topos = {"flowtap": FlowTapTopo}
