"""What the bench compares: an inline monitor that costs next to nothing, and Open vSwitch's own Mirror."""

import contextlib
import time

import netns
from inline import Inline
from topo import CommandFailed, run

MIRROR_SETTLES = 0.5  # seconds
MIRROR_KEY = 0x3FFFF1  # of its tunnel: none of FlowTap's labels gets there in a bench
MIRROR_PORT = "mirror0"


@contextlib.contextmanager
def hairpin(vm):
    """The fastest inline monitor there is here: the VM's kernel sends each frame back as it came in.

    No program, no copy, no switch: a traffic control action on eth0's ingress (tc, u32, mirred).
    Where the kernel has none, inline.py does it, a program in Python, which is a bottleneck. Yields
    which of the two it is.
    """
    def tc(*words):
        return run(netns.inside(vm.pid, "tc", *words))

    try:
        tc("qdisc", "add", "dev", "eth0", "ingress")
        tc(*"filter add dev eth0 parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev eth0".split())
    except CommandFailed:
        with Inline((vm, vm)):
            yield "inline.py"
        return
    try:
        yield "tc mirred"
    finally:
        tc("qdisc", "del", "dev", "eth0", "ingress")


@contextlib.contextmanager
def mirror_tunnel(w, src, monitor):
    """A tunnel of its own between the two nodes, for mirror() to a monitor that is on another; nothing where it is on the same."""
    here, there = src.node, monitor.node
    if here is there:
        yield
        return
    for node, other in ((here, there), (there, here)):
        run(w.lab.vsctl(node, f"add-port br-int {MIRROR_PORT}", f"set interface {MIRROR_PORT} type={w.lab.tunnel} options:remote_ip={other.tunnel_ip} "
                        f"options:local_ip={node.tunnel_ip} options:key={MIRROR_KEY}"))
    try:
        # FlowTap leaves others' flows alone.
        w.lab.ofctl(there, "add-flow", f"priority=65000,in_port={MIRROR_PORT},actions=output:{w.lab.ofport(monitor)}", bridge="br-int")
        yield
    finally:
        w.lab.ofctl(there, "del-flows", f"in_port={MIRROR_PORT}", bridge="br-int")
        for node in (here, there):
            run(w.lab.vsctl(node, f"del-port br-int {MIRROR_PORT}"))


@contextlib.contextmanager
def mirror(w, src, monitor):
    """Open vSwitch's own Mirror of what src sends, to the monitor's port or into mirror_tunnel.

    The userspace datapath of Open vSwitch 3.1.0 can keep megaflows from before a Mirror, and so
    copy nothing, for as long as their traffic lives; they are purged by hand, which only helps the
    Mirror's figures.
    """
    output = monitor.interface if monitor.node is src.node else MIRROR_PORT

    def settle():
        w.lab.appctl(src.node, "revalidator/purge")
        time.sleep(MIRROR_SETTLES)  # nothing tells when it is in force

    run(w.lab.vsctl(src.node, f"--id=@s get port {src.interface}", f"--id=@d get port {output}",
                    "--id=@m create mirror name=bench select-src-port=@s output-port=@d", "set bridge br-int mirrors=@m"))
    settle()
    try:
        yield
    finally:
        run(w.lab.vsctl(src.node, "clear bridge br-int mirrors"))
        settle()
