"""Traffic of the VMs' own kernels: pings and TCP connections. For VMs that are not quiet."""

import hashlib
import os
import socket
import struct
import threading
import time

import frames
import netns
from world import address

IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, DO_NOT_FRAGMENT = 10, 23, 2


def ping(a, b, v6=False, size=56, count=3, timeout=10.0):
    """Ping b from a, not fragmented, each echo after the reply to the last; returns (answered, what came instead).

    ping(8) ends two round trips after its last echo, which a busy machine takes for a loss.
    """
    family, proto, echo, reply = (socket.AF_INET6, socket.IPPROTO_ICMPV6, 128, 129) if v6 else (socket.AF_INET, socket.IPPROTO_ICMP, 8, 0)
    with netns.entered(a.pid):
        sock = socket.socket(family, socket.SOCK_RAW, proto)
    with sock:
        sock.setsockopt(*((socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER) if v6 else (socket.IPPROTO_IP, IP_MTU_DISCOVER)), DO_NOT_FRAGMENT)
        sock.settimeout(timeout)
        try:
            sock.connect((address(b, v6), 0))
            for seq in range(count):
                body = struct.pack("!HH", os.getpid() & 0xFFFF, seq) + bytes(n & 0xFF for n in range(size))
                # The kernel puts ICMPv6's checksum in.
                sock.send(struct.pack("!BBH", echo, 0, 0 if v6 else frames.checksum(struct.pack("!BBH", echo, 0, 0) + body)) + body)
                deadline = time.monotonic() + timeout
                while True:
                    data = sock.recv(65536)
                    data = data if v6 else data[(data[0] & 15) * 4:]
                    if data[0] == reply and data[4:] == body:
                        break
                    if time.monotonic() > deadline:
                        return False, f"no reply to echo {seq + 1} of {count} in {timeout} s"
        except OSError as e:
            return False, f"{count} echoes of {size} bytes: {e}"
    return True, ""


class Connection:
    """A TCP connection from a to b; both ends are sockets of this process in the VMs' namespaces."""

    def __init__(self, a, b, port, v6=False, timeout=10):
        family = socket.AF_INET6 if v6 else socket.AF_INET
        with netns.entered(b.pid):
            listener = socket.socket(family, socket.SOCK_STREAM)
        with listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address(b, v6), port))
            listener.listen(1)
            listener.settimeout(timeout)
            with netns.entered(a.pid):
                self.client = socket.socket(family, socket.SOCK_STREAM)
            self.client.settimeout(timeout)
            self.client.connect((address(b, v6), port))
            self.server, _ = listener.accept()
        self.server.settimeout(timeout)

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.client.close()
        self.server.close()

    def transfer(self, size):
        """Send size random bytes from a to b and the digest back; returns whether b got the same."""
        data = os.urandom(size)

        def answer():
            digest, left = hashlib.sha256(), size
            while left:
                piece = self.server.recv(min(left, 65536))
                if not piece:
                    return
                digest.update(piece)
                left -= len(piece)
            self.server.sendall(digest.digest())

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        self.client.sendall(data)
        got = b""
        while len(got) < 32:
            piece = self.client.recv(32 - len(got))
            if not piece:
                return False
            got += piece
        thread.join()
        return got == hashlib.sha256(data).digest()
