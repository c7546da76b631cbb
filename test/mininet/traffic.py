"""Exact traffic: numbered frames out of one interface, every frame of another recorded.

Nothing here tolerates anything. A capture that the kernel dropped a frame of is an error, and a
comparison names each frame that is missing, came twice, was altered or should not be there.
"""

import collections
import errno
import os
import select
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import frames
import netns

ETH_P_ALL = 3
PACKET_OUTGOING = 4
PACKET_AUXDATA = 8
PACKET_IGNORE_OUTGOING = 23
TP_STATUS_VLAN_VALID = 0x10
TP_STATUS_VLAN_TPID_VALID = 0x40
CAPTURE_BUFFER = 128 << 20
QUIET = 0.25  # seconds without a frame after which a capture counts as complete


class CaptureOverrun(Exception):
    """The kernel dropped frames of a capture: its count says nothing."""


@dataclass(frozen=True)
class Seen:
    """One captured frame."""

    at: float  # time.monotonic() when read
    outgoing: bool  # sent by this interface's own machine
    frame: bytes


class Capture:
    """Records every frame of a VM's eth0 from the moment of construction until stop."""

    def __init__(self, vm, outgoing=False, reader=None):
        """outgoing: also record what the VM itself sends. reader: who reads it; by default one of its own."""
        self.name = vm.name
        self._seen = []
        with netns.entered(vm.pid):
            self._sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # nothing until bound
            self._sock.setsockopt(socket.SOL_SOCKET, netns.SO_RCVBUFFORCE, CAPTURE_BUFFER)
            self._sock.setsockopt(netns.SOL_PACKET, PACKET_AUXDATA, 1)
            if not outgoing:
                self._sock.setsockopt(netns.SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            self._sock.bind(("eth0", ETH_P_ALL))
        self._sock.setblocking(False)
        self._reader = reader or Reader()
        self._reader.add(self._sock, self._drain)

    @property
    def frames(self):
        """The frames received so far, in order."""
        return [s.frame for s in list(self._seen) if not s.outgoing]

    @property
    def sent(self):
        """The frames that the VM sent so far, in order (with outgoing=True only)."""
        return [s.frame for s in list(self._seen) if s.outgoing]

    @property
    def seen(self):
        """Everything recorded so far."""
        return list(self._seen)

    def wait_for(self, count, timeout=5.0):
        """Wait until count frames were received. Says whether they were."""
        deadline = time.monotonic() + timeout
        while len(self._seen) < count:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True

    def wait_until(self, wanted, timeout=5.0):
        """Wait until a frame for which wanted(frame) was received. Says whether one was."""
        deadline, checked = time.monotonic() + timeout, 0
        while True:
            seen = len(self._seen)
            if any(wanted(s.frame) for s in self._seen[checked:seen] if not s.outgoing):
                return True
            checked = seen
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)

    def stop(self):
        """End the capture and return the received frames; raises CaptureOverrun."""
        self._reader.stop()
        if self._sock.fileno() >= 0:
            _, dropped = struct.unpack("II", self._sock.getsockopt(netns.SOL_PACKET, netns.PACKET_STATISTICS, 8))
            self._sock.close()
            if dropped:
                raise CaptureOverrun(f"capture at {self.name}: the kernel dropped {dropped} frames")
        return self.frames

    def _drain(self):
        for _ in range(256):
            try:
                data, ancillary, _, address = self._sock.recvmsg(65536, 128)
            except BlockingIOError:
                break
            except OSError:
                continue  # the interface went down for a moment; what it delivers next counts
            self._seen.append(Seen(time.monotonic(), address[2] == PACKET_OUTGOING, with_tag(data, ancillary)))


class Reader:
    """A thread that reads the sockets of some captures until all that arrived before stop is read."""

    def __init__(self):
        self._poll, self._drains = select.epoll(), {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="captures", daemon=True)
        self._thread.start()

    def add(self, sock, drain):
        """Call drain whenever the socket has something to read."""
        self._drains[sock.fileno()] = drain
        self._poll.register(sock, select.EPOLLIN)

    def stop(self):
        if self._thread.is_alive():
            self._stopping.set()
            self._thread.join()

    def _run(self):
        while True:
            ready = self._poll.poll(0.02)
            if not ready and self._stopping.is_set():
                return
            for fd, _ in ready:
                self._drains[fd]()


def with_tag(data, ancillary):
    """The frame as it was on the wire: the kernel takes a VLAN tag out and tells it beside."""
    for level, kind, aux in ancillary:
        if level == netns.SOL_PACKET and kind == PACKET_AUXDATA and len(aux) >= 20:
            status, _, _, _, _, tci, tpid = struct.unpack_from("IIIHHHH", aux)
            if status & TP_STATUS_VLAN_VALID:
                if not status & TP_STATUS_VLAN_TPID_VALID:
                    tpid = 0x8100
                return data[:12] + struct.pack("!HH", tpid, tci) + data[12:]
    return data


class Captures:
    """Captures at several VMs at once, by name: `with Captures(web, ids) as at: ... at["ids"]`."""

    def __init__(self, *vms, outgoing=False):
        reader = Reader()  # one for all: a thread a VM would mostly wait for the others
        self._captures = {vm.name: Capture(vm, outgoing, reader) for vm in vms}

    def __getitem__(self, name):
        return self._captures[name if isinstance(name, str) else name.name]

    def __enter__(self):
        return self

    def __exit__(self, kind, *_rest):
        with ThreadPoolExecutor(16) as at_once:  # the kernel takes some milliseconds to close a packet socket
            overruns = [e for e in at_once.map(_stop, self._captures.values()) if e]
        if overruns and kind is None:
            raise overruns[0]

    def settle(self, timeout=10.0, quiet=QUIET):
        """Wait until no capture has recorded anything for quiet seconds, longer on a busy machine: what was sent has arrived."""
        timeout, quiet = timeout * busy(), quiet * busy()
        deadline, last, since = time.monotonic() + timeout, None, time.monotonic()
        while time.monotonic() < deadline:
            counts = [len(c._seen) for c in self._captures.values()]
            if counts != last:
                last, since = counts, time.monotonic()
            elif time.monotonic() - since >= quiet:
                return True
            time.sleep(0.01)
        return False


def busy():
    """On a machine with more to do than it has processors, everything takes that many times as long; four at most."""
    return min(4.0, max(1.0, os.getloadavg()[0] / os.cpu_count()))


def _stop(capture):
    try:
        capture.stop()
    except CaptureOverrun as e:
        return e
    return None


class Sender:
    """Sends frames out of a VM's eth0, paced, in a thread of its own.

    A sender that fell behind (a busy machine) never catches up in a burst of more than BURST.
    """

    BURST = 8

    def __init__(self, vm, make, count=None, rate=1000, unplugged=False):
        """make(i) is frame i. count None sends until stop. rate is frames a second, at most 2,000.

        unplugged: the interface may lose its peer meanwhile; frames that it then refuses are
        counted in refused, not in sent. Without it a refused frame is an error.
        """
        if not 0 < rate <= 2000:
            raise ValueError(f"rate {rate}: more than 0, at most 2,000 a second")
        self.name = vm.name
        self.sent = []  # the frames handed to the interface, in order
        self.next = 0  # every frame from this number on is sent after now; of those before, one may be on its way
        self.refused = 0
        self.error = None
        self._make, self._count, self._rate, self._unplugged = make, count, rate, unplugged
        with netns.entered(vm.pid):
            self._sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self._sock.bind(("eth0", 0))
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"sender {self.name}", daemon=True)

    def start(self):
        self._thread.start()
        return self

    def stop(self):
        """End now and return what was sent."""
        self._stopping.set()
        return self.join()

    def join(self):
        """Wait for the last frame and return what was sent; raises what sending raised."""
        self._thread.join()
        self._sock.close()
        if self.error:
            raise self.error
        return self.sent

    def __enter__(self):
        return self.start()

    def __exit__(self, *_exc):
        self._stopping.set()
        self._thread.join()

    def wait_sent(self, count, timeout=10.0):
        """Wait until count frames were sent in all."""
        deadline = time.monotonic() + timeout
        while len(self.sent) < count and self._thread.is_alive():
            if time.monotonic() > deadline:
                raise TimeoutError(f"sender {self.name}: {len(self.sent)} of {count} frames in {timeout} s")
            time.sleep(0.002)

    def wait_more(self, count, timeout=10.0):
        """Wait until count more frames were sent; returns how many were sent before."""
        now = len(self.sent)
        self.wait_sent(now + count, timeout)
        return now

    def _run(self):
        step, due, i = 1.0 / self._rate, time.monotonic(), 0
        try:
            while not self._stopping.is_set() and (self._count is None or i < self._count):
                wait = due - time.monotonic()
                if wait > 0:
                    time.sleep(wait)
                elif -wait > self.BURST * step:
                    due = time.monotonic()
                frame = self._make(i)
                self.next = i + 1
                try:
                    self._sock.send(frame)
                    self.sent.append(frame)
                except OSError as e:
                    if not (self._unplugged and e.errno in (errno.ENOBUFS, errno.ENETDOWN)):
                        raise
                    self.refused += 1
                i, due = i + 1, due + step
        except OSError as e:
            self.error = e


def send(vm, batch, rate=1000):
    """Send a list of frames, paced, and return it when the last has left."""
    batch = list(batch)
    if not batch:
        return batch
    return Sender(vm, batch.__getitem__, len(batch), rate).start().join()


@dataclass
class Difference:
    """How what was captured differs from what was expected. False when it does not."""

    expected: int = 0
    got: int = 0
    missing: list = field(default_factory=list)
    duplicated: list = field(default_factory=list)
    altered: list = field(default_factory=list)  # (expected, got)
    unexpected: list = field(default_factory=list)

    def __bool__(self):
        return bool(self.missing or self.duplicated or self.altered or self.unexpected)

    def __str__(self):
        lines = [f"expected {self.expected} frames, got {self.got}: {len(self.missing)} missing, "
                 f"{len(self.duplicated)} duplicated, {len(self.altered)} altered, {len(self.unexpected)} unexpected"]
        for title in ("missing", "duplicated", "unexpected"):
            lines += _some(title, [frames.describe(f) for f in getattr(self, title)])
        lines += _some("altered", [f"{frames.describe(a)}: {_first_change(a, b)}" for a, b in self.altered])
        return "\n".join(lines)


def compare(expected, got):
    """The difference between two multisets of frames. Order does not matter."""
    want, have = collections.Counter(expected), collections.Counter(got)
    missing = list((want - have).elements())
    surplus = list((have - want).elements())
    result = Difference(len(expected), len(got))
    by_number = collections.defaultdict(list)
    for frame in missing:
        if frames.number(frame) is not None:
            by_number[frames.number(frame), frame[12:14]].append(frame)
    for frame in surplus:
        twins = by_number.get((frames.number(frame), frame[12:14]))
        if frame in want:
            result.duplicated.append(frame)
        elif twins:
            original = twins.pop()
            missing.remove(original)
            result.altered.append((original, frame))
        else:
            result.unexpected.append(frame)
    result.missing = missing
    return result


def _some(title, lines, most=6):
    """The first lines of a kind, with how many there are; also the last, for ranges."""
    if len(lines) > most:
        lines = lines[:most - 1] + [f"... {len(lines) - most} more ...", lines[-1]]
    return [f"  {title}: {line}" for line in lines]


def _first_change(a, b):
    at = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    return f"{len(a)} and {len(b)} bytes, first change at byte {at}: {a[at:at + 8].hex()} became {b[at:at + 8].hex()}"
