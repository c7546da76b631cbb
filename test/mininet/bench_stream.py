"""Numbered frames at a fixed pace, and the kernel's time of each where it arrives."""

import errno
import multiprocessing
import signal
import socket
import struct
import time

import frames
import netns
from bench_http import Broken
from traffic import ETH_P_ALL, PACKET_IGNORE_OUTGOING

SO_TIMESTAMPNS = 35


class Stream:
    """Numbered frames out of a VM's eth0 at a fixed pace, from a process of its own.

    first is the number of the first. What the interface refuses while it is plugged nowhere is
    numbered, too: a gap in the numbers is lost time.
    """

    def __init__(self, vm, make, rate, first=0):
        with netns.entered(vm.pid):
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            sock.bind(("eth0", 0))
        fork = multiprocessing.get_context("fork")
        self._next = fork.Value("L", first, lock=False)  # the number of the first frame that was not sent yet
        self._process = fork.Process(target=pace, args=(sock, make, rate, self._next), daemon=True)
        self._process.start()
        sock.close()

    def stop(self):
        """End now; returns the number of the first frame that was not sent."""
        self._process.terminate()
        self._process.join()
        return self._next.value

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.stop()


def pace(sock, make, rate, next_one):
    """Send frames until terminated. Frames that are late are sent late, never in a burst."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    step, due, n = 1.0 / rate, time.monotonic(), next_one.value
    while True:
        wait = due - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        else:
            due = time.monotonic()
        try:
            sock.send(make(n))
        except OSError as e:
            if e.errno not in (errno.ENOBUFS, errno.ENETDOWN):
                raise
        n, due = n + 1, due + step
        next_one.value = n


class Copies:
    """The numbered frames that reach a VM, with the kernel's time of each."""

    def __init__(self, vm):
        self._name = vm.name
        with netns.entered(vm.pid):
            self._sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self._sock.setsockopt(socket.SOL_SOCKET, netns.SO_RCVBUFFORCE, 64 << 20)
            self._sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            self._sock.setsockopt(netns.SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            self._sock.bind(("eth0", ETH_P_ALL))

    def __enter__(self):
        return self

    def __exit__(self, kind, *_rest):
        _, dropped = struct.unpack("II", self._sock.getsockopt(netns.SOL_PACKET, netns.PACKET_STATISTICS, 8))
        self._sock.close()
        if dropped and kind is None:
            raise Broken(f"at {self._name}: the kernel dropped {dropped} frames of the capture")

    def waiting(self):
        """Everything that has arrived since last asked: (kernel time in ns, number) in order."""
        out = []
        while True:
            try:
                data, ancillary, _, _ = self._sock.recvmsg(2048, 128, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return out
            except OSError:
                continue  # the interface went down; said once
            number = frames.number(data)
            for level, kind, value in ancillary:
                if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS and number is not None:
                    seconds, nanoseconds = struct.unpack("qq", value[:16])
                    out.append((seconds * 1_000_000_000 + nanoseconds, number))

    def until(self, enough, what, timeout=30.0):
        """Everything from now until enough(what there is so far), a list as of waiting."""
        out, deadline = [], time.monotonic() + timeout
        while True:
            out += self.waiting()
            if enough(out):
                return out
            if time.monotonic() > deadline:
                raise Broken(f"at {self._name}, after {timeout} s: {what}")
            time.sleep(0.002)
