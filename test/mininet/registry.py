"""What a lab has made on this machine, written down so that it can be removed by anyone.

Every running lab has a file here with its processes (by id and start time, so that a reused id
is never killed), its links in the root namespace and its directory. A lab whose owner died
without tearing down is removed by the next one, or by `lab.py cleanup`.
"""

import contextlib
import fcntl
import glob
import json
import os
import shutil
import signal
import subprocess
import time

DIR = "/run/flowtap-lab"


def start_time(pid):
    """The start time of a process in clock ticks since boot, or None when there is no such process.

    A zombie is none, once its last thread is gone: until then it may still hold files and locks.
    """
    try:
        with open(f"/proc/{pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        if fields[0] in "ZX" and len(os.listdir(f"/proc/{pid}/task")) <= 1:
            return None
    except OSError:
        return None
    return int(fields[19])


def kill(pid, started, sig=signal.SIGKILL):
    """Send sig to the process if it is still the one that started then. Says whether it did."""
    if start_time(pid) != started:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, sig)
    return True


def wait_gone(processes, timeout=5.0):
    """Wait until none of the (pid, start time) pairs lives; returns those that still do."""
    deadline = time.monotonic() + timeout
    while True:
        left = [(p, s) for p, s in processes if start_time(p) == s]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.01)


@contextlib.contextmanager
def locked():
    """Only one lab at a time chooses its name; the lock goes with the process."""
    fd = os.open(os.path.dirname(DIR), os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def names():
    """The names of the labs that have a file here."""
    return [os.path.basename(path)[: -len(".json")] for path in glob.glob(os.path.join(DIR, "*.json"))]


class Entry:
    """One lab's file."""

    def __init__(self, name, directory):
        os.makedirs(DIR, exist_ok=True)
        self.path = os.path.join(DIR, name + ".json")
        me = os.getpid()
        self.data = {"owner": [me, start_time(me)], "processes": [], "links": [], "directory": directory}
        self._write()

    def add_process(self, pid):
        self.data["processes"].append([pid, start_time(pid)])
        self._write()

    def add_link(self, name):
        self.data["links"].append(name)
        self._write()

    def _write(self):
        with open(self.path + ".new", "w") as f:
            json.dump(self.data, f)
        os.replace(self.path + ".new", self.path)

    def undo(self, keep_directory=False):
        """Remove everything that the file names, then the file."""
        _undo(self.path, self.data, keep_directory)


def _undo(path, data, keep_directory=False):
    alive = [(p, s) for p, s in data["processes"] if s is not None]
    for pid, started in alive:
        kill(pid, started, signal.SIGTERM)
    # Signals beyond the first are for what does not listen; OVS takes well under a second.
    for pid, started in wait_gone(alive, 2.0):
        kill(pid, started, signal.SIGKILL)
    wait_gone(alive)
    for link in data["links"]:
        subprocess.run(["ip", "link", "del", link], stderr=subprocess.DEVNULL, check=False)
    if not keep_directory:
        shutil.rmtree(data["directory"], ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    with contextlib.suppress(OSError):
        os.rmdir(DIR)


def remove_stale():
    """Remove what dead labs left behind; returns their names."""
    removed = []
    for path in glob.glob(os.path.join(DIR, "*.json")):
        try:
            with open(path) as f:
                data = json.load(f)
        except (OSError, ValueError):
            continue
        owner, started = data["owner"]
        if start_time(owner) == started:
            continue
        _undo(path, data)
        removed.append(os.path.basename(path)[: -len(".json")])
    return removed
