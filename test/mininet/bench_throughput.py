"""What a tap costs the tapped VM: TCP throughput without a tap, with one, and with OVS's own Mirror.

One iperf3 connection for a few seconds each time, the ways by turns, always with an untapped run
before and after; a ratio compares a run with the mean of its two untapped neighbours, because the
same path varies twofold within an hour. That every frame was copied is counted along: what OVS was
given by and gave to the tapped port, against what the monitor's eth0 got.
"""

import json
import statistics
import subprocess
import time

import netns
from bench_figures import spread
from bench_http import Broken
from topo import run

PORT = 5201
MIRROR_SETTLES = 0.5  # seconds


def iperf(server, client, seconds):
    """Megabits a second that the server received over one TCP connection."""
    ip = next(i for i in server.ips if "." in i)
    listening = subprocess.Popen(netns.inside(server.pid, "iperf3", "-s", "-1", "-p", str(PORT)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 5
        while f":{PORT:04X} " not in tcp_table(server.pid):
            if time.monotonic() > deadline:
                raise Broken("iperf3 does not listen")
            time.sleep(0.01)
        done = subprocess.run(netns.inside(client.pid, "iperf3", "-c", ip, "-p", str(PORT), "-t", str(seconds), "-J", "--connect-timeout", "5000"),
                              capture_output=True, text=True, timeout=seconds + 30, check=False)
        if done.returncode != 0:
            raise Broken(f"iperf3 from {client.name} to {server.name}: {done.stdout[-500:]}{done.stderr}")
        listening.wait(10)
    finally:
        listening.kill()
        listening.wait()
    return json.loads(done.stdout)["end"]["sum_received"]["bits_per_second"] / 1e6


def tcp_table(pid):
    """Local addresses of the sockets that listen in a process's namespace."""
    lines = []
    for name in ("tcp", "tcp6"):
        with open(f"/proc/{pid}/net/{name}") as f:
            lines += [line.split()[1] + " " for line in f if line.split()[3] == "0A"]
    return "\n".join(lines)


def counters(pid, interface):
    """Statistics of an interface, as the kernel counts."""
    out = json.loads(run(netns.inside(pid, "ip", "-j", "-s", "link", "show", "dev", interface)))[0]["stats64"]
    return {"rx": out["rx"]["packets"], "tx": out["tx"]["packets"], "rx_dropped": out["rx"]["dropped"], "tx_dropped": out["tx"]["dropped"]}


class Counted:
    """Counts, over a block, the frames that a tapped port sent and received and the copies."""

    def __init__(self, w, src, monitor):
        self.w, self.src, self.monitor = w, src, monitor

    def _read(self):
        port = counters(self.src.node.pid, self.src.interface)
        return {"frames": port["rx"] + port["tx"], "copies": counters(self.monitor.pid, "eth0")["rx"],
                "refused": counters(self.monitor.node.pid, self.monitor.interface)["tx_dropped"]}

    def __enter__(self):
        self.w.lab.switch_drops()
        self._before = self._read()
        return self

    def __exit__(self, *_exc):
        # Until neither count moves: what was sent has arrived.
        now, since = self._read(), time.monotonic()
        while time.monotonic() - since < 0.2:
            time.sleep(0.02)
            again = self._read()
            if again != now:
                now, since = again, time.monotonic()
        grown = {k: now[k] - self._before[k] for k in now}
        self.frames, self.copies = grown["frames"], grown["copies"]
        # A frame that overran a switch's socket was lost to everyone or was a copy on its way; one
        # that the monitor's interface refused is a copy that its switch did send.
        self.drops = sum(self.w.lab.switch_drops().values()) + grown["refused"]


class Mirror:
    """Open vSwitch's own Mirror of one port to another of its bridge, for the length of a block.

    The userspace datapath of Open vSwitch 3.1.0 can keep megaflows from before a Mirror, and so
    copy nothing, for as long as their traffic lives; they are purged by hand, which only helps the
    Mirror's figures.
    """

    def __init__(self, w, src, dst):
        self.w, self.src, self.dst = w, src, dst

    def __enter__(self):
        run(self.w.lab.vsctl(self.src.node, f"--id=@s get port {self.src.interface}", f"--id=@d get port {self.dst.interface}",
                             "--id=@m create mirror name=bench select-src-port=@s select-dst-port=@s output-port=@d",
                             "set bridge br-int mirrors=@m"))
        self._settle()

    def __exit__(self, *_exc):
        run(self.w.lab.vsctl(self.src.node, "clear bridge br-int mirrors"))
        self._settle()

    def _settle(self):
        self.w.lab.appctl(self.src.node, "revalidator/purge")
        time.sleep(MIRROR_SETTLES)  # nothing tells when it is in force


def measure(w, check, rounds, seconds):
    """Both paths, all ways; returns a list of figures."""
    w.network("bulk")
    web, near, far = w.vms("bulk", ("client", "n1"), ("sibling", "n1"), ("distant", "n2"), quiet=False, warm=False)
    here, there = w.monitors(("mhere", "n1"), ("mthere", "n3"))
    out = []
    for path, server in (("same node", near), ("cross node", far)):
        ways = [("tap, local monitor", w.tapped, here), ("tap, remote monitor", w.tapped, there)]
        if path == "same node":
            ways.append(("Mirror of OVS", lambda src, dst: Mirror(w, src, dst), here))
        iperf(server, web, 1)  # addresses resolved, caches warm
        plain = [iperf(server, web, seconds)]
        found = {title: {"mbit": [], "ratio": [], "frames": 0, "copies": 0, "drops": 0} for title, _, _ in ways}
        for _ in range(rounds):
            for title, make, monitor in ways:
                f = found[title]
                with make(web, monitor), Counted(w, web, monitor) as counted:
                    f["mbit"].append(iperf(server, web, seconds))
                for k in ("frames", "copies", "drops"):
                    f[k] += getattr(counted, k)
                plain.append(iperf(server, web, seconds))
                f["ratio"].append(f["mbit"][-1] / statistics.mean(plain[-2:]))
        out.append({"path": path, "way": "no tap", "mbit": spread(plain), "raw": plain})
        for title, _, monitor in ways:
            f = found[title]
            missing = f["frames"] - f["copies"]
            if title.startswith("tap"):
                check.that(f"{path}, {title}: {f['copies']} copies of {f['frames']} frames; of {missing} missing, {f['drops']} are the kernel's drops",
                           0 <= missing <= f["drops"])
            out.append({"path": path, "way": title, "mbit": spread(f["mbit"]), "ratio": spread(f["ratio"]), "raw": f["mbit"],
                        "frames": f["frames"], "copies": f["copies"], "drops": f["drops"]})
    return out
