"""What a running demo writes down about itself, so that `demo.py --stop` can end it from elsewhere."""

import contextlib
import glob
import json
import os
import signal
import time

import registry

DIR = "/run/flowtap-demo"
PATIENCE = 30  # seconds for a demo to clean up after itself


class Record:
    """One demo's file, named after its lab."""

    def __init__(self, name):
        os.makedirs(DIR, exist_ok=True)
        self.path = os.path.join(DIR, name + ".json")
        me = os.getpid()
        with open(self.path + ".new", "w") as f:
            json.dump({"name": name, "owner": [me, registry.start_time(me)]}, f)
        os.replace(self.path + ".new", self.path)

    def remove(self):
        _remove(self.path)


def stop(name=None):
    """End the demo of that name, or the only one that runs, and clean up; returns the exit code."""
    found = _records()
    if name:
        found = {path: r for path, r in found.items() if r["name"] == name}
    running = {path: r for path, r in found.items() if _runs(r)}
    if len(running) > 1:
        print("several demos run; say which: " + ", ".join(f"--stop {r['name']}" for r in running.values()))
        return 1
    for path, r in running.items():
        print(f"stopping {r['name']} ...", flush=True)
        pid, started = r["owner"]
        registry.kill(pid, started, signal.SIGTERM)
        if registry.wait_gone([(pid, started)], PATIENCE):
            registry.kill(pid, started)
            registry.wait_gone([(pid, started)])
        _remove(path)
    # What a demo that died could not remove itself.
    for path, r in found.items():
        if not _runs(r):
            _remove(path)
    for lab in registry.remove_stale():
        print(f"removed what {lab} had left behind")
    if not running:
        print(f"no demo {name} runs" if name else "no demo runs")
        return 1 if name else 0
    print("stopped")
    return 0


def _records():
    found = {}
    for path in glob.glob(os.path.join(DIR, "*.json")):
        with contextlib.suppress(OSError, ValueError):
            with open(path) as f:
                found[path] = json.load(f)
    return found


def _runs(record):
    pid, started = record["owner"]
    return registry.start_time(pid) == started


def _remove(path):
    with contextlib.suppress(OSError):
        os.unlink(path)
    with contextlib.suppress(OSError):
        os.rmdir(DIR)
