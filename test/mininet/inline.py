#!/usr/bin/python3
"""An inline monitor: takes frames from one interface and gives them back on the same or on another.

    inline.py --arm eth0:eth0                  one-armed
    inline.py --arm 4711/eth0:4712/eth0        two-armed; each in the network namespace of that process
    inline.py --arm eth0:eth1 --arm eth1:eth0  a bridge

It reads commands from its standard input, a line each, and answers every one with a line of JSON:

    pass                   give every frame back
    drop                   give none back
    drop-if TEXT           drop TCP segments with that text in their payload, give back all others
    reset-if TEXT          drop these, and reset the connection in the name of either end
    delay SECONDS          give frames back that much later
    counts                 what was received, given back, dropped, ... so far

Every frame that bears a number (frames.py) goes to the file of --capture as well, in the order of
its arrival. Ends when its standard input ends.
"""

import argparse
import collections
import contextlib
import json
import os
import select
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

import frames  # noqa: E402
import netns  # noqa: E402
from traffic import ETH_P_ALL, PACKET_AUXDATA, PACKET_IGNORE_OUTGOING, PACKET_OUTGOING, with_tag  # noqa: E402

PACKET_ADD_MEMBERSHIP = 1
PACKET_MR_PROMISC = 1
BUFFER = 64 << 20


class Monitor:
    """What the program does; one thread, one loop."""

    def __init__(self, arms, capture=None):
        """arms are pairs of interfaces, in and out, each as interface_of reads them."""
        self.counts = collections.Counter()
        self._sockets = {}
        self._routes = {}
        self._poll = select.epoll()
        for arrive, leave in arms:
            source, sink = self._socket(arrive), self._socket(leave)
            self._routes[source.fileno()] = source, sink
        for arrive, _ in arms:
            name, pid = interface_of(arrive)
            self._sockets[arrive].bind((name, ETH_P_ALL))
        self._capture = capture and open(capture, "wb")
        self._late = collections.deque()  # (when due, socket, frame), in order
        self._delay = 0.0
        self._verdict = self._pass
        self._text = b""

    def _socket(self, interface):
        """One socket an interface, deaf until bound to a protocol; nothing of its own comes back to it."""
        if interface not in self._sockets:
            name, pid = interface_of(interface)
            with netns.entered(pid):
                sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            sock.setsockopt(socket.SOL_SOCKET, netns.SO_RCVBUFFORCE, BUFFER)
            sock.setsockopt(netns.SOL_PACKET, PACKET_AUXDATA, 1)
            sock.setsockopt(netns.SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            sock.bind((name, 0))
            with netns.entered(pid):
                index = socket.if_nametoindex(name)
            sock.setsockopt(netns.SOL_PACKET, PACKET_ADD_MEMBERSHIP, struct.pack("iHH8x", index, PACKET_MR_PROMISC, 0))
            self._sockets[interface] = sock
        return self._sockets[interface]

    def run(self, commands, answers):
        """Until commands, a file descriptor, ends."""
        os.set_blocking(commands, False)
        pending = b""
        self._poll.register(commands, select.EPOLLIN)
        for fd, (source, _) in self._routes.items():
            source.setblocking(False)
            self._poll.register(fd, select.EPOLLIN)
        while True:
            wait = max(0.0, self._late[0][0] - time.monotonic()) if self._late else -1
            for fd, _ in self._poll.poll(wait):
                if fd != commands:
                    self._read(*self._routes[fd])
                    continue
                text = os.read(commands, 65536)
                if not text:
                    return
                *lines, pending = (pending + text).split(b"\n")
                for line in lines:
                    print(json.dumps(self._command(line.decode())), file=answers, flush=True)
            while self._late and self._late[0][0] <= time.monotonic():
                _, sink, frame = self._late.popleft()
                self._send(sink, frame)

    def _command(self, line):
        word, _, rest = line.partition(" ")
        if word == "delay":
            self._delay = float(rest)
        elif word in ("pass", "drop", "drop-if", "reset-if"):
            self._verdict = getattr(self, "_" + word.replace("-", "_"))
            self._text = rest.encode()
        elif word != "counts":
            return {"error": f"no command {word}"}
        if self._capture:
            self._capture.flush()
        for source, _ in self._routes.values():
            _, lost = struct.unpack("II", source.getsockopt(netns.SOL_PACKET, netns.PACKET_STATISTICS, 8))
            self.counts["overrun"] += lost
        return dict(self.counts)

    def _read(self, source, sink):
        for _ in range(512):
            try:
                data, ancillary, _, address = source.recvmsg(65536, 128)
            except BlockingIOError:
                return
            except OSError:
                self.counts["errors"] += 1  # the interface went down
                return
            if address[2] == PACKET_OUTGOING:
                continue
            frame = with_tag(data, ancillary)
            self.counts["received"] += 1
            self.counts["bytes"] += len(frame)
            if self._capture and frames.number(frame) is not None:
                self._capture.write(struct.pack("!I", len(frame)) + frame)
            self._verdict(source, sink, frame)

    def _pass(self, _source, sink, frame):
        if self._delay or self._late:  # never before one that waits
            self._late.append((time.monotonic() + self._delay, sink, frame))
        else:
            self._send(sink, frame)

    def _drop(self, *_):
        self.counts["dropped"] += 1

    def _drop_if(self, source, sink, frame):
        if self._text in tcp_payload(frame):
            self.counts["dropped"] += 1
        else:
            self._pass(source, sink, frame)

    def _reset_if(self, source, sink, frame):
        if self._text not in tcp_payload(frame):
            self._pass(source, sink, frame)
            return
        self.counts["dropped"] += 1
        for answer in resets(frame):
            self.counts["invented"] += 1
            self._send(sink, answer)

    def _send(self, sink, frame):
        try:
            sink.send(frame)
            self.counts["returned"] += 1
        except OSError:
            self.counts["refused"] += 1


def interface_of(text):
    """The interface's name and the process in whose namespace it is: `4711/eth0`, or `eth0` in one's own."""
    pid, _, name = text.rpartition("/")
    return name, int(pid) if pid else os.getpid()


def tcp_payload(frame):
    """The payload of a TCP segment over IPv4 or IPv6, tagged or not; empty for all else."""
    at = 16 if frame[12:14] == b"\x81\x00" else 12
    kind = frame[at:at + 2]
    at += 2
    if kind == b"\x08\x00" and frame[at + 9] == frames.TCP:
        end, at = at + int.from_bytes(frame[at + 2:at + 4], "big"), at + (frame[at] & 15) * 4
    elif kind == b"\x86\xdd" and frame[at + 6] == frames.TCP:
        end, at = at + 40 + int.from_bytes(frame[at + 4:at + 6], "big"), at + 40
    else:
        return b""
    return frame[at + (frame[at + 12] >> 4) * 4:end]


def resets(frame):
    """The two segments that end the connection of an untagged segment: to its sender, and to its receiver."""
    v6 = frame[12:14] == b"\x86\xdd"
    at, src, dst = (54, frame[22:38], frame[38:54]) if v6 else (14 + (frame[14] & 15) * 4, frame[26:30], frame[30:34])
    src, dst = (socket.inet_ntop(socket.AF_INET6 if v6 else socket.AF_INET, a) for a in (src, dst))
    to, by = frame[:6].hex(":"), frame[6:12].hex(":")
    sport, dport, seq, ack = struct.unpack_from("!HHII", frame, at)
    length = len(tcp_payload(frame))
    return [frames.tcp(to, by, dst, src, dport, sport, flags=frames.RST | frames.ACK, seq=ack, ack=(seq + length) & 0xFFFFFFFF),
            frames.tcp(by, to, src, dst, sport, dport, flags=frames.RST | frames.ACK, seq=seq, ack=ack)]


def captured(path):
    """The frames in a capture file, in order."""
    with open(path, "rb") as f:
        data = f.read()
    at, out = 0, []
    while at + 4 <= len(data):
        length, = struct.unpack_from("!I", data, at)
        out.append(data[at + 4:at + 4 + length])
        at += 4 + length
    return out


class Inline:
    """The program as a process, for the length of a block: `with Inline((ids, ids)) as inline: ...`"""

    def __init__(self, *arms, capture=None):
        """arms are pairs of VMs: frames that arrive at the first's eth0 leave by the second's."""
        words = [word for a, b in arms for word in ("--arm", f"{a.pid}/eth0:{b.pid}/eth0")]
        self.capture = capture
        command = [sys.executable, os.path.abspath(__file__), *words, *(["--capture", capture] if capture else [])]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._process.stdout.readline()  # it listens

    def tell(self, command):
        """Give a command; what it has counted, once it has carried the command out."""
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise ValueError(answer["error"])
        return collections.Counter(answer)

    @property
    def counts(self):
        return self.tell("counts")

    @property
    def numbered(self):
        """The frames with a number that it received so far, in order."""
        self.tell("counts")
        return captured(self.capture)

    def stop(self):
        if self._process.poll() is None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arm", action="append", required=True, metavar="IN:OUT", help="[PID/]INTERFACE:[PID/]INTERFACE; may be repeated")
    parser.add_argument("--capture", metavar="FILE")
    args = parser.parse_args()
    monitor = Monitor([tuple(arm.split(":")) for arm in args.arm], args.capture)
    print("{}", flush=True)
    monitor.run(0, sys.stdout)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
