"""Traffic of the VMs' own kernels: pings and TCP connections. For VMs that are not quiet."""

import hashlib
import os
import socket
import subprocess
import threading

import netns
from world import address


def ping(a, b, v6=False, size=56, count=3):
    """Ping b from a, not fragmented; returns (answered, what ping said)."""
    command = ["ping", "-6" if v6 else "-4", "-c", str(count), "-i", "0.05", "-W", "2", "-M", "do", "-s", str(size), address(b, v6)]
    done = subprocess.run(netns.inside(a.pid, *command), capture_output=True, text=True, timeout=30, check=False)
    answered = done.returncode == 0 and f"{count} received" in done.stdout
    return answered, done.stdout + done.stderr


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
