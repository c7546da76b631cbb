"""Three etcd members and three flowtapd, each a machine of its own on the lab's management network.

    with Cluster(w.lab, flowtapd, etcd) as cluster:
        cluster.start()
        cluster.control(["n1", "n2", "n3"])
        cluster.replicas[0].kill()

A machine is a network namespace with an address on br-mgmt, and a mount namespace: what is mounted
and filtered there is seen nowhere else, and goes with its last process.
"""

import base64
import contextlib
import itertools
import os
import signal
import subprocess
import tempfile
import time

import netns
from api import Api, Refused
from topo import Quiet, run

ETCD_DISK = "192m"  # a member keeps 128 MiB for its log
HTTP, PEER = 8080, 8081
LEADER = "/flowtap/v1/leader"
MEMBERS, REPLICAS = 3, 3


class Machine:
    """A namespace on the management network with one process in it, which may be killed, stopped and started again."""

    def __init__(self, lab, name, address):
        self.lab, self.name, self.address = lab, name, address
        self.host = lab.net.addHost(name, cls=Quiet, ip=None)
        self.process, self.starts = None, 0
        self.stopped = False  # by SIGSTOP
        self.log = tempfile.mkstemp(prefix=f"{name}-", suffix=".log", dir=lab.directory)[1]
        under = lab.underlay.pid
        run(["ip", "link", "add", "mgmt0", "netns", str(self.host.pid), "type", "veth", "peer", "name", f"{name}-mgmt", "netns", str(under)])
        run(netns.inside(under, "ip", "link", "set", f"{name}-mgmt", "master", "br-mgmt", "up"))
        run(netns.inside(self.host.pid, "ip", "-batch", "-"), f"link set lo up\naddr add {address}/24 dev mgmt0\nlink set mgmt0 up\n")

    def command(self):
        raise NotImplementedError

    def start(self, *extra):
        """Start the process; it may take a moment until it serves."""
        with open(self.log, "ab") as log:
            log.write(f"--- start {self.starts}: {' '.join(extra)}\n".encode())
            self.process = subprocess.Popen(netns.inside(self.host.pid, *self.command(), *extra), stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, start_new_session=True)
        self.starts, self.stopped = self.starts + 1, False
        self.lab.entry.add_process(self.process.pid)

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self, sig=signal.SIGKILL):
        """End the process and wait for that; its exit code."""
        if self.running:
            self.process.send_signal(sig)
            if self.stopped:
                self.process.send_signal(signal.SIGCONT)
            self.stopped = False
        try:
            return self.process.wait(10) if self.process else None
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def stop(self):
        """It stands still until `go_on`."""
        if self.running:
            self.process.send_signal(signal.SIGSTOP)
            self.stopped = True

    def go_on(self):
        if self.running:
            self.process.send_signal(signal.SIGCONT)
        self.stopped = False

    def remove(self):
        self.kill()
        with contextlib.suppress(Exception):
            run(netns.inside(self.lab.underlay.pid, "ip", "link", "del", f"{self.name}-mgmt"))
        self.lab.net.delHost(self.host)

    def panicked(self):
        """A Go panic or data race in its log, with what follows it; empty where there is none."""
        with contextlib.suppress(OSError), open(self.log, errors="replace") as f:
            for line in f:
                if line.startswith(("panic:", "fatal error:", "WARNING: DATA RACE")):
                    return line + "".join(itertools.islice(f, 60))
        return ""

    def tail(self, lines=60):
        with contextlib.suppress(OSError), open(self.log, errors="replace") as f:
            return "".join(f.readlines()[-lines:])
        return ""

    def __str__(self):
        return self.name


class Member(Machine):
    """An etcd member, whose data is on a small disk of its own."""

    def __init__(self, lab, name, address, binary, peers):
        super().__init__(lab, name, address)
        self.binary, self.peers = binary, peers
        self.url = f"http://{address}:2379"
        self.disk = tempfile.mkdtemp(prefix=f"{name}-", dir=lab.directory)
        run(netns.inside(self.host.pid, "mount", "-t", "tmpfs", "-o", f"size={ETCD_DISK}", "tmpfs", self.disk))

    def command(self):
        peer = f"http://{self.address}:2380"
        return [self.binary, "--name", self.name, "--data-dir", os.path.join(self.disk, "data"), "--listen-client-urls", self.url,
                "--advertise-client-urls", self.url, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                "--initial-cluster", ",".join(f"{name}=http://{address}:2380" for name, address in self.peers), "--log-level", "warn"]

    @property
    def serves(self):
        """Whether it serves, with a leader. A stopped one does not answer."""
        try:
            return Api(self.url).request("GET", "/health", timeout=1).status == 200
        except OSError:
            return False

    def fill(self):
        """Take all that is free on its disk."""
        subprocess.run(netns.inside(self.host.pid, "dd", "if=/dev/zero", f"of={self.disk}/ballast", "bs=64k"),
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)

    def free(self):
        run(netns.inside(self.host.pid, "rm", "-f", f"{self.disk}/ballast"))

    def dump(self, prefix, timeout=10):
        """Every key under a prefix with its value, as one revision has them, from etcd's JSON gateway."""
        def coded(text):
            return base64.b64encode(text.encode()).decode()

        answer = Api(self.url).must("POST", "/v3/kv/range", {"key": coded(prefix), "range_end": coded(prefix[:-1] + chr(ord(prefix[-1]) + 1))}, timeout=timeout)
        return {base64.b64decode(kv["key"]).decode(): base64.b64decode(kv.get("value", "")).decode(errors="replace") for kv in answer.get("kvs", [])}


class Replica(Machine):
    """A flowtapd."""

    def __init__(self, lab, name, address, binary, etcd):
        super().__init__(lab, name, address)
        self.binary, self.etcd = binary, etcd
        self.base = f"http://{address}:{HTTP}"
        self.openflow = f"{address}:6653"
        self.api = Api(self.base)

    def command(self):
        return [self.binary, "--etcd-endpoints", ",".join(self.etcd), "--openflow-addr", self.openflow, "--http-addr", f"{self.address}:{HTTP}",
                "--name", self.name, "--peer-addr", f"{self.address}:{PEER}", "--insecure"]


class Cluster:
    """The machines. Removed at the end of the block, with all that was done to them."""

    def __init__(self, lab, flowtapd, etcd):
        self.lab = lab
        addresses = [(f"e{n}", f"{lab.mgmt}.{30 + n}") for n in range(1, MEMBERS + 1)]
        self.members, self.replicas = [], []
        lab.on_stop.append(self._end)
        try:
            for name, address in addresses:
                self.members.append(Member(lab, name, address, etcd, addresses))
            for n in range(1, REPLICAS + 1):
                self.replicas.append(Replica(lab, f"f{n}", f"{lab.mgmt}.{20 + n}", flowtapd, [m.url for m in self.members]))
        except BaseException:
            self.__exit__()
            raise

    @property
    def machines(self):
        return self.members + self.replicas

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        with contextlib.suppress(ValueError):
            self.lab.on_stop.remove(self._end)
        self._end()

    def _end(self):
        for m in reversed(self.machines):
            m.kill()
        for m in reversed(self.machines):
            m.remove()
        self.members, self.replicas = [], []

    def start(self, timeout=60.0):
        """Start everything, and wait until every replica serves."""
        for m in self.machines:
            m.start()
        self.wait_ready(timeout)

    def wait_ready(self, timeout=60.0):
        deadline = time.monotonic() + timeout
        for r in self.replicas:
            while not r.api.ready():
                if time.monotonic() > deadline or not r.running:
                    raise TimeoutError(f"{r} does not serve:\n{r.tail(20)}{self.members[0].tail(20)}")
                time.sleep(0.02)

    @property
    def api(self):
        return self.replicas[0].api

    def leader(self):
        """The replica that leads, as etcd says; None where nobody does, or etcd does not say."""
        for m in self.members:
            with contextlib.suppress(OSError, Refused):
                name = m.dump(LEADER, timeout=1).get(LEADER)
                return next((r for r in self.replicas if r.name == name), None)
        return None

    def etcd_leader(self):
        """The member that leads etcd; None where nobody says."""
        for m in self.members:
            with contextlib.suppress(OSError, Refused):
                said = Api(m.url).must("POST", "/v3/maintenance/status", {}, timeout=1)
                if said.get("leader") == said["header"]["member_id"]:
                    return m
        return None

    def control(self, nodes):
        """Have the nodes' switches look for all replicas."""
        for n in nodes:
            self.lab.point_at(n, [r.openflow for r in self.replicas])

    def report(self):
        return "".join(f"--- {m}\n{m.tail(80)}" for m in self.machines)
