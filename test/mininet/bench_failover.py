"""How long a redirected flow with fail_mode open stands still when its monitor is gone, and when it is back.

web on n1 sends a stream of numbered frames to far on n2; all of it is redirected to a monitor that
gives it back at once (bench_monitors.hairpin). The monitor is taken away without warning, and given
back when the tap says that it is degraded. All times are the kernel's where a frame arrived:

    gap       between the first frame at far that was not at the monitor and the one before it
    told      to that frame from the moment before the monitor was taken away
    lost      frames that were sent meanwhile and did not arrive
    through   to the first frame at the monitor from the moment before it was given back
    gap_back, lost_back   the longest time between two frames at far while it came back; frames lost
"""

import fcntl
import os
import signal
import socket
import struct
import sys
import time

import netns
from bench_figures import percentiles
from bench_monitors import hairpin
from bench_stream import Copies, Stream
from topo import run
from world import udp

RATE = 2000  # frames a second
MATCH = "nw_proto=UDP; tp_dst=5000"
ENOUGH = 20  # frames past the monitor, after which the flow goes on
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
STEADY = 0.2  # seconds of stream before the monitor goes
SECONDS = 20  # a silent node may take 10 to be noticed


def measure(w, check, count, silent):
    """Each way a monitor may go, count times, the silent ones so often; returns a list of figures."""
    w.network("shop")
    web, far = w.vms("shop", ("web", "n1"), ("far", "n2"))
    here, there = w.monitors(("here", "n1"), ("there", "n3"))
    ways = [("local monitor's interface", here, interface, count), ("remote monitor's interface", there, interface, count),
            ("remote monitor's node stands still", there, node, silent), ("remote monitor's tunnels are cut", there, tunnel, silent)]
    return [failover(w, check, title, web, far, monitor, away, n) for title, monitor, away, n in ways if n]


def failover(w, check, title, web, far, monitor, away, count):
    """One way a monitor may go, count times."""
    gaps, told, lost, through, gaps_back, lost_back = [], [], [], [], [], []
    with hairpin(monitor), w.redirected(web, monitor, MATCH, "out", fail_mode="open") as tap, \
            Stream(web, udp(web, far), RATE), Copies(far) as arrived, Copies(monitor) as seen:
        for n in range(count):
            w.api.wait_state("taps", tap, "active", timeout=SECONDS)
            seen.until(bool, "the flow does not come to the monitor")
            time.sleep(STEADY)
            monitored = {number for _, number in seen.waiting()}
            steady = arrived.until(bool, "what the monitor gives back does not arrive", SECONDS)[-1:]
            with away(w, monitor) as gone:
                def beside(frames, since=gone.since, monitored=monitored):
                    """The frames that passed without having been at the monitor."""
                    monitored.update(number for _, number in seen.waiting())
                    return [f for f in frames if f[0] > since and f[1] not in monitored]

                frames = arrived.until(lambda got, beside=beside: len(beside(got)) >= ENOUGH, "the flow stands still", SECONDS)
                first = beside(frames)[0]
                gaps.append((first[0] - max(f[0] for f in steady + frames if f[0] < first[0])) / 1e6)
                told.append((first[0] - gone.since) / 1e6)
                lost.append(missing(steady + frames))
                w.api.wait_state("taps", tap, "degraded", timeout=SECONDS)
                frames = arrived.until(bool, "the flow stands still again")
            # What a switch that stood still had in store comes late, and is older.
            back = seen.until(lambda got, last=frames[-1][1]: got and got[-1][1] > last, "the flow does not come back to the monitor", SECONDS)
            at, returned = next(f for f in back if f[1] > frames[-1][1])
            through.append((at - gone.until) / 1e6)
            w.api.wait_state("taps", tap, "active", timeout=SECONDS)
            late = arrived.until(lambda got, returned=returned: any(number >= returned for _, number in got), "what the monitor gives back does not arrive", SECONDS)
            time.sleep(STEADY)
            frames = [f for f in frames[-1:] + late + arrived.waiting() if f[1] >= frames[-1][1]]
            gaps_back.append(max((b[0] - a[0] for a, b in zip(frames, frames[1:])), default=0) / 1e6)
            lost_back.append(missing(frames))
            if n % 5 == 4 or count < 10:
                print(f"    {title}, {n + 1} of {count}: gap {gaps[-1]:.1f} ms, back after {through[-1]:.1f} ms, then a gap of {gaps_back[-1]:.1f} ms", file=sys.stderr, flush=True)
    check.that(f"{title}: the flow went on without its monitor {count} times, and came back to it as often", len(through) == count)
    return {"way": title, "gap": percentiles(gaps), "told": percentiles(told), "lost": percentiles(lost), "through": percentiles(through),
            "gap_back": percentiles(gaps_back), "lost_back": percentiles(lost_back), "raw": {"gap": gaps, "through": through}}


def missing(frames):
    """How many numbers are missing between the lowest and the highest."""
    numbers = {number for _, number in frames}
    return max(numbers) - min(numbers) + 1 - len(numbers)


class Away:
    """A monitor gone for the length of a block; `since` and `until` are the time.time_ns() right before it goes and comes."""

    def __init__(self, go, come):
        self._go, self._come = go, come

    def __enter__(self):
        self.since = time.time_ns()
        self._go()
        return self

    def __exit__(self, *_exc):
        self.until = time.time_ns()
        self._come()


def interface(_w, monitor):
    """Its eth0 goes down, and the carrier of its switch port with it."""
    with netns.entered(monitor.pid):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def set_up(up):
        flags, = struct.unpack_from("H", fcntl.ioctl(sock, SIOCGIFFLAGS, struct.pack("16sH14x", b"eth0", 0)), 16)
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH14x", b"eth0", flags | IFF_UP if up else flags & ~IFF_UP))

    return Away(lambda: set_up(False), lambda: set_up(True))


def node(_w, monitor):
    """Its node's Open vSwitch stands still, dataplane and all."""
    pid = monitor.node.vswitchd_pid
    return Away(lambda: os.kill(pid, signal.SIGSTOP), lambda: os.kill(pid, signal.SIGCONT))


def tunnel(w, monitor):
    """Its node's wire to the other nodes is cut; that to the controller is not."""
    def link(state):
        run(netns.inside(w.lab.underlay.pid, "ip", "link", "set", f"{monitor.node.name}-phy", state))
    return Away(lambda: link("down"), lambda: link("up"))
