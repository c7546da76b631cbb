"""Frames of an interface and of a whole lab, as kernels count them: exact, and costing the traffic nothing."""

import os
import time

QUIET = 0.15  # seconds without a frame after which what was sent has arrived; more where there is more to do than processors


def interfaces(pid):
    """{name: (received, sent, refused)} of every interface in a process's namespace.

    refused: what it was to send and its other end did not take, for want of room.
    """
    found = {}
    with open(f"/proc/{pid}/net/dev") as f:
        for line in f.readlines()[2:]:
            name, _, numbers = line.partition(":")
            n = [int(word) for word in numbers.split()]
            found[name.strip()] = n[1], n[9], n[11]
    return found


class Counted:
    """Counts over a block what src sent, what reached the monitor and left it, and what reached dst.

    Nobody else may send to dst, and the monitor nothing of its own. losses are the frames, of
    whatever kind, that kernels dropped on the lab's wires and before its switches: no switch ever
    had them.
    """

    def __init__(self, w, src, dst, monitor):
        self.w, self.src, self.dst, self.monitor = w, src, dst, monitor

    def _read(self):
        monitor = interfaces(self.monitor.pid)["eth0"]
        places = [*self.w.lab.nodes.values(), self.w.lab.underlay, self.monitor, self.src, self.dst]
        return {"frames": interfaces(self.src.node.pid)[self.src.interface][0], "seen": monitor[0], "returned": monitor[1],
                "arrived": interfaces(self.dst.pid)["eth0"][0],
                "losses": sum(refused for place in places for _, _, refused in interfaces(place.pid).values())}

    def __enter__(self):
        self.w.lab.switch_drops()
        self._before = self._read()
        return self

    def __exit__(self, *_exc):
        quiet = QUIET * min(8.0, max(1.0, os.getloadavg()[0] / os.cpu_count()))
        now, since = self._read(), time.monotonic()
        while time.monotonic() - since < quiet:
            time.sleep(0.02)
            again = self._read()
            if again != now:
                now, since = again, time.monotonic()
        self.found = {k: now[k] - self._before[k] for k in now}
        self.found["losses"] += sum(self.w.lab.switch_drops().values())
