"""flowtapd as a process of the lab: start, kill, start again over the same data."""

import contextlib
import os
import signal
import socket
import subprocess
import time

import registry
from api import Api

# The first lab's ports, the others' follow: below those that the kernel gives away while flowtapd is dead.
HTTP, OPENFLOW = 18000, 17000


class Flowtapd:
    """One flowtapd. Its HTTP port is fixed at construction and kept over restarts."""

    def __init__(self, lab, binary, host="127.0.0.1"):
        self.lab, self.binary = lab, binary
        self.http = f"{host}:{free_port(HTTP + lab.subnet)}"
        self.api = Api(f"http://{self.http}")
        self.data = os.path.join(lab.directory, "flowtap-data")
        self.log = os.path.join(lab.directory, "flowtapd.log")
        self.process = None
        self.starts = 0
        lab.on_stop.append(self.stop)

    def flags(self):
        return ["--data-dir", self.data, "--openflow-addr", self.lab.openflow_addr, "--http-addr", self.http, "--insecure"]

    def start(self, *extra, timeout=20.0):
        """Start it, with extra flags, and wait until it is ready. Returns the seconds that took."""
        begin = time.monotonic()
        with open(self.log, "ab") as log:
            log.write(f"--- start {self.starts}: {' '.join(extra)}\n".encode())
            self.process = subprocess.Popen([self.binary, *self.flags(), *extra], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, start_new_session=True)
        self.starts += 1
        self.lab.entry.add_process(self.process.pid)
        while not self.api.ready():
            if self.process.poll() is not None:
                raise RuntimeError(f"flowtapd ended with {self.process.returncode}:\n{self.tail(20)}")
            if time.monotonic() - begin > timeout:
                raise TimeoutError(f"flowtapd not ready after {timeout} s:\n{self.tail(20)}")
            time.sleep(0.02)
        return time.monotonic() - begin

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """kill -9."""
        self._end(signal.SIGKILL)

    def stop(self):
        """SIGTERM, and -9 after five seconds; returns the exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, sig):
        if not self.running:
            return self.process.returncode if self.process else None
        started = registry.start_time(self.process.pid)
        registry.kill(self.process.pid, started, sig)
        try:
            return self.process.wait(5)
        except subprocess.TimeoutExpired:
            registry.kill(self.process.pid, started)
            return self.process.wait()

    def panicked(self):
        """Whether a Go panic or a data race is in its log."""
        try:
            with open(self.log, errors="replace") as f:
                return any(line.startswith(("panic:", "fatal error:", "WARNING: DATA RACE")) for line in f)
        except OSError:
            return False

    def tail(self, lines=60):
        """The end of its log."""
        try:
            with open(self.log, errors="replace") as f:
                return "".join(f.readlines()[-lines:])
        except OSError as e:
            return str(e)


def free_port(port):
    """That TCP port of 127.0.0.1, or one some steps on, that nobody listens on."""
    while True:
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                s.bind(("127.0.0.1", port))
                return port
        port += 256
