"""Hostile connections from hosts of their own: a namespace on the management network, and a process in it.

Each connection has one bad habit, and an address of ADDRESSES. One that is cut, by whichever side, is made
again RECONNECT seconds later: Open vSwitch waits that long, too. What a habit says, it says once a second.
"""

import errno
import heapq
import itertools
import multiprocessing
import os
import random
import selectors
import signal
import socket
import struct
import time

import netns
from topo import Quiet, run

ADDRESSES = 4
RECONNECT = 1.0  # seconds
PACKET_INS = 100  # a second and connection

# How many connections have which habit, by port: so many that, with those left out that wait to be made again,
# there are OPEN of them or more.
HABITS = {
    "openflow": {"silent": 100, "slow hello": 100, "garbage": 50, "claims a switch": 50, "is a stranger": 100},
    "http": {"silent": 150, "slow header": 150, "slow body": 100, "garbage": 50},
}
OPEN = 200
COUNTS = ["tried", "connected", "cut", "refused", "held", "bytes", "packet_ins"]

_HELLO, _ECHO, _FEATURES, _PACKET_IN, _MULTIPART, _BARRIER, _ROLE = 0, 2, 5, 10, 18, 20, 24


def message(kind, xid, body=b""):
    return struct.pack("!BBHI", 4, kind, 8 + len(body), xid) + body


# A frame of 60 bytes from port 1, of table 0, because an action said so; as many as a second has.
_PACKET_IN_MESSAGE = message(_PACKET_IN, 0, struct.pack("!IHBBQ", 0xFFFFFFFF, 60, 1, 0, 0) + struct.pack("!HHHBBI4x", 1, 12, 0x8000, 0, 4, 1)
                             + b"\0\0" + bytes.fromhex("ffffffffffff0200000000660800") + bytes(46))


class Attack:
    """The attacking hosts, one a lab. start and stop as often as wanted; counts tells what they see."""

    def __init__(self, lab, http, openflow, claimed):
        self._targets = {"http": address(http), "openflow": address(openflow)}
        self._claimed = int(claimed, 16)
        host = lab.net.addHost("attacker", cls=Quiet, ip=None)
        run(netns.inside(lab.underlay.pid, "ip", "-batch", "-"),
            f"link add atk-mgmt type veth peer name mgmt0 netns {host.pid}\nlink set atk-mgmt master br-mgmt up\n")
        self._sources = [f"{lab.mgmt}.{201 + i}" for i in range(ADDRESSES)]
        run(netns.inside(host.pid, "ip", "-batch", "-"), "".join(f"addr add {a}/24 dev mgmt0\n" for a in self._sources) + "link set mgmt0 up\n")
        self._host, self._fork = host, multiprocessing.get_context("fork")
        self._shared = self._fork.Array("q", len(self._targets) * len(COUNTS), lock=False)
        self._process = None
        lab.on_stop.append(self.stop)

    def start(self):
        self._shared[:] = [0] * len(self._shared)
        self._process = self._fork.Process(target=self._run, daemon=True)
        self._process.start()

    def stop(self):
        """End, and with it every connection."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None

    @property
    def pid(self):
        return self._process.pid

    def counts(self):
        """By port, what the hosts see: a dict of COUNTS each; held is how many are open now."""
        return {port: dict(zip(COUNTS, self._shared[i * len(COUNTS):])) for i, port in enumerate(self._targets)}

    def _run(self):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with netns.entered(self._host.pid):
            loop = Loop()
            for i, (port, target) in enumerate(self._targets.items()):
                count = Tally(self._shared, i * len(COUNTS))
                habits = list(itertools.chain.from_iterable([h] * n for h, n in HABITS[port].items()))
                for n, habit in enumerate(habits):
                    dpid = self._claimed if habit == "claims a switch" else 0xBAD000 + n
                    Hostile(loop, target, self._sources[n % ADDRESSES], count, port, habit, dpid)
            loop.run()


class Tally:
    """Counts that the other process reads."""

    def __init__(self, shared, first):
        self._shared, self._first = shared, first

    def add(self, name, n=1):
        self._shared[self._first + COUNTS.index(name)] += n


class Loop:
    """Sockets and moments; one thread."""

    def __init__(self):
        self.sockets, self._due, self._order = selectors.DefaultSelector(), [], itertools.count()

    def at(self, when, what):
        heapq.heappush(self._due, (when, next(self._order), what))

    def run(self):
        while True:
            now = time.monotonic()
            while self._due and self._due[0][0] <= now:
                heapq.heappop(self._due)[2]()
            for key, _ in self.sockets.select(max(0.0, self._due[0][0] - now) if self._due else None):
                key.data()


class Hostile:
    """One hostile connection, made again and again."""

    def __init__(self, loop, target, source, count, port, habit, dpid):
        self.loop, self.target, self.source, self.count, self.port, self.habit, self.dpid = loop, target, source, count, port, habit, dpid
        self.sock, self.life, self.connected = None, 0, False
        loop.at(time.monotonic() + random.random(), self.connect)

    def connect(self):
        self.count.add("tried")
        self.life, self.connected, self.said, self.rest, self.shaken = self.life + 1, False, 0, b"", False
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.bind((self.source, 0))
        self.sock.connect_ex(self.target)
        self.loop.sockets.register(self.sock, selectors.EVENT_WRITE, self.arrived)

    def arrived(self):
        """The connection is there, or is refused."""
        if self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.over("refused")
            return
        self.connected = True
        self.count.add("connected")
        self.count.add("held")
        self.loop.sockets.modify(self.sock, selectors.EVENT_READ, self.hear)
        self.speak(self.life)

    def over(self, how):
        self.loop.sockets.unregister(self.sock)
        self.sock.close()
        self.count.add(how)
        if self.connected:
            self.count.add("held", -1)
        self.connected = False
        self.life += 1
        self.loop.at(time.monotonic() + RECONNECT, self.connect)

    def say(self, data):
        """Say something; what a full socket does not take is left unsaid, but for a whole message."""
        try:
            self.count.add("bytes", self.sock.send(data))
            return True
        except OSError as e:
            if e.errno != errno.EAGAIN:
                self.over("cut")
                return False
            return True

    def speak(self, life):
        """What the habit says each second, as long as this connection lasts."""
        if life != self.life:
            return
        text = self.words()
        self.said += 1
        if (not text or self.say(text)) and life == self.life:
            self.loop.at(time.monotonic() + 1, lambda: self.speak(life))

    def words(self):
        if self.habit == "garbage":
            return os.urandom(512)
        if self.habit.startswith("slow"):
            whole = {"slow hello": message(_HELLO, 1, bytes(56)), "slow header": b"GET /v1/taps HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 60000,
                     "slow body": b"{" + b" " * 60000}[self.habit]
            first = b"POST /v1/networks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 65000\r\n\r\n" if self.habit == "slow body" and not self.said else b""
            return first + whole[self.said:self.said + 1]
        if self.habit in ("claims a switch", "is a stranger"):
            if not self.said:
                return message(_HELLO, 1)
            if self.shaken:
                return self.flood()
        return b""

    def flood(self):
        self.count.add("packet_ins", PACKET_INS)
        return _PACKET_IN_MESSAGE * PACKET_INS

    def hear(self):
        try:
            heard = self.sock.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            heard = b""
        if not heard:
            self.over("cut")
        elif self.port == "openflow" and self.dpid:
            self.answer(heard)

    def answer(self, heard):
        """What a switch answers, as far as it takes to be one."""
        self.rest += heard
        out = b""
        while len(self.rest) >= 8:
            kind, length, xid = struct.unpack("!xBHI", self.rest[:8])
            if len(self.rest) < max(8, length):
                break
            body, self.rest = self.rest[8:max(8, length)], self.rest[max(8, length):]
            if kind in (_ECHO, _ROLE):
                out += message(kind + 1, xid, body)
            elif kind == _FEATURES:
                out += message(_FEATURES + 1, xid, struct.pack("!QIBBxxII", self.dpid, 0, 254, 0, 0x4F, 0))
            elif kind == _BARRIER:
                out += message(_BARRIER + 1, xid)
            elif kind == _MULTIPART:
                what, = struct.unpack("!H", body[:2])
                out += message(_MULTIPART + 1, xid, struct.pack("!HH4x", what, 0) + (bytes(1056) if what == 0 else b""))
                if what == 13 and not self.shaken:  # its ports, the last question of the handshake
                    self.shaken = True
                    out += self.flood()
        if self.habit in ("claims a switch", "is a stranger") and out:
            self.say(out)


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def cpu(pid):
    """The CPU seconds that a process has used."""
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
