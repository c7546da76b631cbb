"""The DVD rental (Figure 1 (b) of the paper): its VMs, its programs, and what the customers say."""

import json
import os
import subprocess
import sys
import threading
import time

import netns
from .service_call import local_call

SERVICES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "services")

# Where each VM is plugged in at first: the hypervisors' business, not FlowTap's.
PLACES = {
    "customer": "n1", "contract-update": "n1", "dvd-return": "n1",
    "user-update": "n2", "database": "n2",
    "dvd-update": "n3", "shipping": "n3",
    "ids": "n3",
}
MONITOR = "ids"


class Rental:
    """The VMs of the demo and the programs in them."""

    def __init__(self, lab, ports):
        """ports are the port objects of the API: their MACs and IPs are the VMs' too."""
        self.lab, self.ports = lab, {p["id"]: p for p in ports}
        self.customers = None
        self._programs = {}
        lab.on_stop.append(self.stop)

    def start_vms(self):
        """Start every VM and plug it in. The security VM is quiet: it listens."""
        self.lab.add_vms([
            dict(name=name, node=node, mac=self.ports[name].get("mac") or "02:00:00:00:00:20", quiet=name == MONITOR,
                 ips=[ip for ip in self.ports[name].get("ips") or [] if not ip.startswith("fe80:")])
            for name, node in PLACES.items()])

    def start_programs(self, timeout=20.0):
        """Start the services and the customers, and wait until each listens."""
        names = [name for name in PLACES if name != MONITOR]
        hosts = json.dumps({name: self.ports[name]["ips"][0] for name in names})
        for name in names:
            with open(self._log(name), "wb") as log:
                customers = name == "customer"
                self._programs[name] = subprocess.Popen(
                    netns.inside(self.lab.vms[name].pid, sys.executable, "-B", os.path.join(SERVICES, name.replace("-", "_") + ".py")),
                    stdin=subprocess.PIPE if customers else subprocess.DEVNULL, stdout=subprocess.PIPE if customers else log,
                    stderr=log, env=dict(os.environ, RENTAL_HOSTS=hosts), start_new_session=True)
            self.lab.entry.add_process(self._programs[name].pid)
        self.customers = Customers(self._programs["customer"])
        deadline = time.monotonic() + timeout
        for name in names:
            while not self._listens(name):
                if self._programs[name].poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{name} does not start:\n{self.log(name)}")
                time.sleep(0.05)

    def _listens(self, name):
        """Whether something listens on port 80 in the VM (state 0A of /proc/net/tcp)."""
        with open(f"/proc/{self.lab.vms[name].pid}/net/tcp") as f:
            return any(line.split()[1].endswith(":0050") and line.split()[3] == "0A" for line in f.readlines()[1:])

    def _log(self, name):
        return os.path.join(self.lab.directory, f"{name}.log")

    def log(self, name):
        """What a program wrote on standard error."""
        with open(self._log(name), errors="replace") as f:
            return f.read()

    def ended(self):
        """The programs that have ended, or have complained: a dict of name to what they said."""
        return {name: self.log(name) for name, p in self._programs.items() if p.poll() is not None or self.log(name)}

    def books(self):
        """What the database holds, asked inside its VM: no frame leaves it for this."""
        return local_call(self.lab.vms["database"].pid, "/state")

    def retransmits(self):
        """TCP segments that the VMs' kernels have sent again, in all."""
        total = 0
        for vm in self.lab.vms.values():
            with open(f"/proc/{vm.pid}/net/snmp") as f:
                names, values = (line.split() for line in f if line.startswith("Tcp:"))
            total += int(values[names.index("RetransSegs")])
        return total

    def stop(self):
        for p in self._programs.values():
            if p.poll() is None:
                p.terminate()
        for p in self._programs.values():
            p.wait()


class Customers:
    """The customers' program: when it runs, and how each of their requests ended."""

    def __init__(self, program):
        self._program = program
        self._changed = threading.Condition()  # guards what follows
        self.answered = 0  # requests answered as they must be
        self.failures = []  # what was wrong with the others
        self.slowest = 0.0  # milliseconds, since run
        self._seen, self._upto = set(), 0  # request numbers: all up to _upto, and those of _seen
        self._paused = None
        threading.Thread(target=self._read, name="customers", daemon=True).start()

    def run(self):
        """Let them rent."""
        with self._changed:
            self._paused, self.slowest = None, 0.0
        self._command("run")

    def pause(self, timeout=40.0):
        """Let them finish what they have begun, and return the number of the last request. May be called again."""
        with self._changed:
            if self._paused is not None:
                return self._paused
        self._command("pause")
        with self._changed:
            if not self._changed.wait_for(lambda: self._paused is not None, timeout):
                raise TimeoutError(f"requests are without an answer after {timeout} s")
            return self._paused

    def wait_answered(self, more, timeout=30.0):
        """Wait until so many more requests were answered."""
        with self._changed:
            goal = self.answered + len(self.failures) + more
            if not self._changed.wait_for(lambda: self.answered + len(self.failures) >= goal, timeout):
                raise TimeoutError(f"not {more} more requests answered in {timeout} s")

    def problems(self, asked):
        """What is wrong with the answers to requests 1 to asked."""
        with self._changed:
            problems = list(self.failures)
            if self._upto != asked or self._seen:
                problems.append(f"asked {asked}, answers only to 1 to {self._upto} and {sorted(self._seen)}")
            return problems

    def _command(self, word):
        self._program.stdin.write(f"{word}\n".encode())
        self._program.stdin.flush()

    def _read(self):
        for line in self._program.stdout:
            said = json.loads(line)
            with self._changed:
                if "paused" in said:
                    self._paused = said["paused"]
                elif "wrong" in said:
                    self.failures.append(said["wrong"])
                else:
                    self._count(said)
                self._changed.notify_all()

    def _count(self, said):
        n = said["request"]
        if n <= self._upto or n in self._seen:
            self.failures.append(f"request {n} was answered twice")
            return
        self._seen.add(n)
        while self._upto + 1 in self._seen:
            self._upto += 1
            self._seen.remove(self._upto)
        self.slowest = max(self.slowest, said["ms"])
        if said["ok"]:
            self.answered += 1
        else:
            self.failures.append(f"request {n}: {said['why']}")


def book_problems(books):
    """What is wrong with the database while nobody rents: every DVD is back, every rental paid."""
    problems = [f"{n} copies of {dvd}" for dvd, n in books["repository"].items() if n != books["copies"]]
    return problems + [f"{user}: {a}" for user, a in books["accounts"].items() if a["has"] or a["balance"] != -3 * a["rentals"]]
