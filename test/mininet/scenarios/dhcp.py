"""A real DHCP client and server, and ARP of real kernels, through a redirect; again after switches restarted."""

import os
import subprocess

import frames
import kernel
import netns
from inline import Inline
from topo import run
from traffic import Captures

LEASE = "10.0.0.50"


class Server:
    """dnsmasq in a VM: one address to give, to one client."""

    def __init__(self, w, vm, client):
        command = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--interface=eth0", "--bind-interfaces", "--no-ping",
                   "--user=root", "--pid-file=", f"--dhcp-leasefile={w.lab.directory}/leases", "--log-facility=-", "--log-dhcp",
                   "--dhcp-range=10.0.0.50,10.0.0.60,255.255.255.0,1h", f"--dhcp-host={client.mac},{LEASE}"]
        with open(os.path.join(w.lab.directory, "dnsmasq.log"), "wb") as log:
            self._process = subprocess.Popen(netns.inside(vm.pid, *command), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        w.lab.entry.add_process(self._process.pid)

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self._process.terminate()
        self._process.wait(10)


def ask(w, vm):
    """One run of udhcpc; the address that it was given, or what it said."""
    script = os.path.join(w.lab.directory, "udhcpc.sh")
    with open(script, "w") as f:
        f.write('#!/bin/sh\n[ "$1" != bound ] || echo "bound to $ip by $serverid"\n')
    os.chmod(script, 0o755)
    done = subprocess.run(netns.inside(vm.pid, "busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "5", "-T", "1", "-s", script),
                          capture_output=True, text=True, timeout=60, check=False)
    found = [line.split()[2] for line in done.stdout.splitlines() if line.startswith("bound to")]
    return found[0] if found else done.stdout + done.stderr


def a_lease_through_a_redirect(w, check):
    """Client and server on two nodes, the client, the server or both redirected; n1, n2 and n3 restart in between."""
    w.network("shop")
    client, server, other = w.vms("shop", ("client", "n1", {"ips": [LEASE]}), ("server", "n2", {"ips": ["10.0.0.2"]}), ("other", "n1"), warm=False)
    run(netns.inside(server.pid, "ip", "addr", "add", "10.0.0.2/24", "dev", "eth0"))
    # Seconds after a lease its kernel asks whether the client is still there, which may be while captures begin.
    run(netns.inside(server.pid, "sysctl", "-q", "-w", "net.ipv4.neigh.eth0.delay_first_probe_time=3600"))
    ids, here = w.monitors(("ids", "n3"), ("here", "n1"))
    with Server(w, server, client):
        for monitor in (ids, here):
            for targets in ((client,), (server,), (client, server)):
                taps = [w.redirect(t, monitor) for t in targets]
                title = f"{' and '.join(t.name for t in targets)} redirected to a monitor on {monitor.node.name}"
                lease(w, check, title, client, server, other, monitor)
                if targets == (client,):
                    for node in ("n1", "n3", "n2"):
                        w.lab.restart_vswitchd(node)
                        w.wait_connected()
                        for vm in (client, server, other, ids, here):
                            w.wait_port(vm)
                        w.wait_tap(taps[0], client, monitor)
                        lease(w, check, f"{title}, after ovs-vswitchd of {node} restarted", client, server, other, monitor)
                for tap in taps:
                    w.untap(tap)


def lease(w, check, title, client, server, other, monitor):
    """The client gets its lease; every frame is accounted for."""
    with Inline((monitor, monitor)) as inline, Captures(client, server, other, monitor, outgoing=True) as at:
        got = ask(w, client)
        at.settle(quiet=1.0)  # a storm would go on
        got_and_gave = inline.counts["received"], inline.counts["returned"]
    check.equal(f"{title}: the lease is obtained", LEASE, got)
    own = frames.mac(client.mac)
    check.none(f"{title}: the client receives nothing of its own", [f for f in at[client].frames if f[6:12] == own])
    sent, answers = at[client].sent, at[server].sent
    to_client = [f for f in answers if f[:6] == own or f[0] & 1]
    check.that(f"{title}: discover and request, offer and acknowledgement", 2 <= len(sent) <= 6 and 2 <= len(answers) <= 8, (len(sent), len(answers)))
    check.same(f"{title}: what the client sent reached the server, once", sent, at[server].frames)
    check.same(f"{title}: what the server answered reached the client, once", to_client, at[client].frames)
    check.same(f"{title}: another VM has each broadcast once", [f for f in sent + answers if f[0] & 1], at[other].frames)
    check.same(f"{title}: the monitor had each once", sent + answers, at[monitor].frames)
    check.equal(f"{title}: it gave back what it got, and that was all", (len(at[monitor].frames), len(at[monitor].sent)), got_and_gave)


def arp_and_ping_through_a_redirect(w, check):
    """Kernels that know nothing of each other yet: ARP and neighbour discovery go through the monitor as well."""
    w.network("shop")
    client, server = w.vms("shop", ("client", "n1"), ("server", "n2"), quiet=False, warm=False)
    for monitor in w.monitors(("ids", "n3"), ("here", "n1")):
        for targets in ((client,), (client, server)):
            taps = [w.redirect(t, monitor) for t in targets]
            title = f"{' and '.join(t.name for t in targets)} redirected to a monitor on {monitor.node.name}"
            with Inline((monitor, monitor)), Captures(client, server, monitor, outgoing=True) as at:
                for v6 in (False, True):
                    for vm in (client, server):
                        run(netns.inside(vm.pid, "ip", "neigh", "flush", "dev", "eth0"))
                    answered, said = kernel.ping(client, server, v6=v6, count=5)
                    check.that(f"{title}: a ping over {'IPv6' if v6 else 'IPv4'} is answered", answered, said)
                at.settle(quiet=0.5)
            check.same(f"{title}: what the client sent reached the server, once", at[client].sent, at[server].frames)
            check.same(f"{title}: and the other way", at[server].sent, at[client].frames)
            check.same(f"{title}: the monitor had each once", at[client].sent + at[server].sent, at[monitor].frames)
            for tap in taps:
                w.untap(tap)


STORIES = [a_lease_through_a_redirect, arp_and_ping_through_a_redirect]
