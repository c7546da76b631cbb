#!/usr/bin/python3
"""The demo: a DVD rental on three cloud nodes, watched by a security VM through FlowTap.

    make demo            or    sudo /usr/bin/python3 test/mininet/demo.py
    make demo KEEP=1     or    ... --keep: leaves it running, and says how to use it
    sudo /usr/bin/python3 test/mininet/demo.py --stop [NAME]: ends one from another terminal

Exit code 0 when every number was right, 1 when one was not, 2 when it could not start.
"""

import argparse
import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True  # under sudo it would leave root's files in the checkout

MANIFEST = "test/mininet/demo/dvd-rental.yaml"
TARGET, DATABASE, MONITOR = "contract-update", "database", "ids"
HOME, AWAY = "n1", "n2"  # where contract-update is, and where it goes
TAPS = {
    "contract-update-all": ["--src", TARGET],
    "database-http": ["--src", DATABASE, "--match", "tcp,tp_dst=80", "--direction", "in"],
}
WATCH = 8  # seconds of live view before anything is moved
REQUESTS = 200  # answered before and after a move, at least


class Screen:
    """Progress, a line at a time, with the seconds since the start."""

    def __init__(self):
        self.begin = time.monotonic()

    def step(self, text):
        print(f"[{time.monotonic() - self.begin:3.0f} s] {text}", flush=True)

    def more(self, text):
        print(textwrap.indent(str(text), "        "), flush=True)

    def copies(self, text):
        print(f"   {MONITOR} | {text}", flush=True)

    def command(self, words):
        self.more("$ " + shlex.join(words))


class Verdict:
    """Every number that must be right, and those that were not."""

    def __init__(self, screen):
        self.screen, self.wrong = screen, []

    def that(self, what, problems):
        """problems is empty when all is well, else lines that say what is not."""
        if not problems:
            self.screen.more(f"right: {what}")
            return
        self.wrong.append(what)
        self.screen.more(f"WRONG: {what}")
        for line in problems[:20]:
            self.screen.more(f"       {line}")


class Demo:
    """One run. The lab is up when it is made."""

    def __init__(self, lab, screen):
        from demo.rental import Rental  # the package, not this file
        from world import World
        self.lab, self.screen = lab, screen
        self.verdict = Verdict(screen)
        self.world = World(lab, os.path.join(ROOT, "bin", "flowtapd"))
        self.api = self.world.api
        self.server = f"http://{self.world.flowtapd.http}"
        self.start_controller()
        self.rental = Rental(lab, self.api.list("ports"))

    # The parts, in order

    def start_controller(self):
        self.world.flowtapd.start()
        self.screen.step(f"flowtapd runs, with its embedded store, at {self.server}")
        self.ctl("apply", "-f", MANIFEST, show=4)
        self.world.wait_connected()
        self.screen.step("all switches are connected over OpenFlow 1.3")

    def start_rental(self):
        self.rental.start_vms()
        for vm in self.lab.vms.values():
            self.world.wait_port(vm)
        self.screen.step("the VMs are plugged in and their ports are active")
        self.rental.start_programs()
        self.rental.customers.run()
        self.rental.customers.wait_answered(20)
        self.screen.step("the DVD rental is open, and four customers rent and return DVDs all the time")
        self.screen.more("""\
customer > contract-update > user-update > database     a contract, and its bill
           contract-update > dvd-update (queue) > shipping > customer     the DVD
customer > dvd-return > database     and back""")

    def tap(self):
        self.before = self.at_rest()
        self.screen.step("taps, made under traffic:")
        for name, words in TAPS.items():
            self.ctl("create", "tap", name, *words, "--dst", MONITOR, "--action", "forward", "--wait", "15s")
        self.verdict.that("both taps are active", [f"{t['id']}: {t['status']}" for t in self.api.list("taps")
                                                   if t["status"]["state"] != "active"])

    def watch(self):
        self.screen.step(f"what the security VM {MONITOR} on {self.vm(MONITOR).node.name} receives, live:")
        with self.live():
            time.sleep(WATCH)
        self.ctl("get", "taps")

    def move(self, to):
        """Move contract-update while requests run, and account for every frame and request."""
        from demo.accounts import Span, settle_accounts
        from demo.switches import dropped
        customers, target = self.rental.customers, self.vm(TARGET)
        customers.pause()
        span = Span(self.lab.vms.values())
        span.begin()
        self.lab.switch_drops()
        before, again = customers.answered, self.rental.retransmits()
        source = target.node.name
        customers.run()
        with self.live():
            customers.wait_answered(REQUESTS)
            self.screen.step(f"{TARGET} moves from {source} to {to} while requests run")
            begin = time.monotonic()
            self.lab.migrate(target, to)
            plugged = time.monotonic()
            self.world.wait_port(target)
            self.world.wait_tap("contract-update-all", target, self.vm(MONITOR))
            self.screen.step(f"it is plugged in at {to} after {(plugged - begin) * 1000:.0f} ms, and its tap is active "
                             f"there {(time.monotonic() - plugged) * 1000:.0f} ms later")
            customers.wait_answered(REQUESTS)
        asked = customers.pause()
        span.end()
        vms = self.lab.vms
        peers = [vm for name, vm in vms.items() if name not in (TARGET, DATABASE, MONITOR)]
        account = settle_accounts(span, target, vms[DATABASE], vms[MONITOR], peers)
        wrong = account.problems(span, begin)
        if wrong:
            wrong += ["times are from the beginning of the move; frames that the switches themselves dropped, ever:", *dropped(self.lab)]
        self.report(account, wrong, asked, customers.answered - before, self.rental.retransmits() - again)

    def report(self, a, wrong, asked, answered, again):
        from demo.rental import book_problems
        customers = self.rental.customers
        self.screen.step("the accounts of this move:")
        self.screen.more(f"""\
requests         {answered:6,} answered, the slowest after {customers.slowest:.0f} ms; TCP sent {again} segments again
contract-update  {a.out_sent:6,} frames sent,       {a.out_arrived:6,} arrived ({a.out_sent - a.out_arrived} lost in the move)
                 {a.in_sent:6,} frames sent to it, {a.in_arrived:6,} arrived ({a.in_sent - a.in_arrived} lost in the move)
database         {a.http_arrived:6,} frames of HTTP arrived
{MONITOR:16} {a.copies:6,} copies = {a.out_arrived:,} + {a.in_arrived:,} + {a.http_arrived:,} that arrived + {a.copied_lost} that were lost after the copy
                 {len(a.missing)} missing, {len(a.doubled)} doubled, {len(a.foreign)} that no tap asks for or not as sent""")
        self.ctl("get", "ports", TARGET)
        self.verdict.that(f"no request was lost: 1 to {asked} are all answered as they must be", customers.problems(asked))
        self.verdict.that("every account is paid and every DVD is back", book_problems(self.rental.books()))
        self.verdict.that("every frame that arrived was copied exactly once, byte for byte", wrong or (
            [] if a.out_arrived and a.in_arrived and a.http_arrived else ["there were none: this proves nothing"]))
        drops = self.lab.switch_drops()
        self.verdict.that("no switch of the lab was overrun", [f"{node}: {n} frames" for node, n in drops.items()])
        ended = self.rental.ended()
        self.verdict.that("every service and flowtapd run without complaint", [f"{name}: {log}" for name, log in ended.items()] + (
            [] if self.world.flowtapd.running and not self.world.flowtapd.panicked() else [self.world.flowtapd.tail(20)]))

    def untap(self):
        from demo.switches import wait_equal
        self.rental.customers.run()
        self.screen.step("the taps go, under traffic:")
        self.ctl("delete", "taps", *TAPS, "--wait", "15s")
        with self.no_copies():
            self.rental.customers.wait_answered(REQUESTS)
        left = wait_equal(self.lab, self.before)
        self.verdict.that(f"the flows and groups of every node are as before the taps ({sum(map(len, self.before.values()))} of them)", left)
        asked = self.rental.customers.pause()
        self.verdict.that(f"requests 1 to {asked} are all answered as they must be", self.rental.customers.problems(asked))

    # What they are made of

    def vm(self, name):
        return self.lab.vms[name]

    def ctl(self, *words, show=None):
        """Run flowtapctl as a user would, and show command and output (only its first lines)."""
        self.screen.command(["bin/flowtapctl", *words])
        done = subprocess.run([os.path.join(ROOT, "bin", "flowtapctl"), *words], cwd=ROOT, env=dict(os.environ, FLOWTAP_SERVER=self.server),
                              capture_output=True, text=True, timeout=60, check=False)
        lines = done.stdout.splitlines()
        if show and len(lines) > show:
            lines = [*lines[:show - 1], f"... {len(lines) - show} more ...", lines[-1]]
        self.screen.more("\n".join(lines))
        if done.returncode:
            raise RuntimeError(f"flowtapctl {shlex.join(words)}: exit code {done.returncode}: {done.stderr.strip()}")

    def live(self):
        from demo.live import LiveView
        names = {ip: name for name, port in self.rental.ports.items() for ip in port.get("ips") or []}
        return LiveView(self.vm(MONITOR), names, self.screen.copies)

    def at_rest(self):
        """The switches' flows by name, once they do not change by themselves."""
        from demo.switches import snapshot
        self.world.at_rest()
        return snapshot(self.lab)

    @contextlib.contextmanager
    def no_copies(self):
        """The security VM receives nothing in this block."""
        from traffic import Capture
        import frames
        capture = Capture(self.vm(MONITOR))
        try:
            yield
        finally:
            got = capture.stop()
        self.verdict.that(f"{MONITOR} receives nothing any more", [frames.describe(f) for f in got])

    def run(self, keep):
        self.start_rental()
        self.tap()
        self.watch()
        self.move(AWAY)
        if keep:
            self.rental.customers.run()
            return
        self.move(HOME)
        self.untap()

    def how_to_use(self):
        """What to type in another terminal."""
        sudo = "sudo " if "SUDO_UID" in os.environ else ""
        ctl = f"bin/flowtapctl --server {self.server}"
        target, ids = self.vm(TARGET), self.vm(MONITOR)
        nodes = "\n".join(f"  {sudo}mnexec -a {n.pid} ovs-ofctl -O OpenFlow13 dump-flows br-int      # {name}" for name, n in self.lab.nodes.items())
        vms = ", ".join(f"{name} {vm.pid}" for name, vm in self.lab.vms.items())
        return f"""\
It keeps running, and the customers go on renting. In another terminal, in {ROOT}:

The REST interface is at {self.server}/v1/taps, its description at {self.server}/openapi.json
  {ctl} get taps
  {ctl} delete tap database-http
  {ctl} create tap shipped --src shipping --dst {MONITOR} --match 'tcp,tp_dst=80' --action forward --wait 10s
  {ctl} watch ports
The copies at the security VM
  {sudo}mnexec -a {ids.pid} tcpdump -nli eth0
A command inside a VM ({TARGET} here)
  {sudo}mnexec -a {target.pid} ping -c 3 {target_ip(self.rental.ports[DATABASE])}
  the process ids of the VMs: {vms}
The flows of a node
{nodes}
The log of flowtapd
  {sudo}tail -f {self.world.flowtapd.log}
End it: Ctrl-C here, or
  {sudo}/usr/bin/python3 test/mininet/demo.py --stop {self.lab.name}
"""


def target_ip(port):
    return port["ips"][0]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="after the first move leave everything running until Ctrl-C or --stop")
    parser.add_argument("--stop", nargs="?", const="", metavar="NAME", help="end a demo that runs, and clean up after one that died")
    parser.add_argument("--tunnel", choices=["geneve", "vxlan", "gre"], default="geneve")
    args = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("the demo makes network namespaces and switches: run it with sudo")
    if args.stop is not None:
        return args
    for program in ("flowtapd", "flowtapctl"):
        if not os.access(os.path.join(ROOT, "bin", program), os.X_OK):
            parser.error(f"bin/{program} is not built: run `make build`, or the demo with `make demo`")
    for tool in ("ovs-vswitchd", "mnexec", "ethtool"):
        if not shutil.which(tool):
            parser.error(f"{tool} is not installed: run `make deps`, or the demo with `make demo`")
    return args


def main():
    args = arguments()
    from demo import record
    if args.stop is not None:
        return record.stop(args.stop)
    from lab import Lab

    screen = Screen()
    print("FlowTap: three cloud nodes, a DVD rental of seven VMs, and a security VM that watches it.", flush=True)
    lab = Lab(3, args.tunnel)
    mine = record.Record(lab.name)
    code, keeping = 1, False
    try:
        with removed(lab, screen, mine):
            lab.start()
            screen.step(f"three nodes are up: an Open vSwitch each, {args.tunnel} tunnels between them")
            demo = Demo(lab, screen)
            demo.run(args.keep)
            code = conclude(demo, screen)
            if args.keep:
                keeping = True
                print("\n" + demo.how_to_use(), flush=True)
                signal.pause()
    except (KeyboardInterrupt, SystemExit) as e:
        # Keeping, a signal is how it ends; else it was cut short.
        return code if keeping else (130 if isinstance(e, KeyboardInterrupt) else e.code)
    except Failure:
        return 1
    return code


class Failure(Exception):
    """The demo could not go on; what it was has been said."""


def conclude(demo, screen):
    if demo.verdict.wrong:
        screen.step("WRONG, see above: " + "; ".join(demo.verdict.wrong))
        return 1
    screen.step("every number was right")
    return 0


@contextlib.contextmanager
def removed(lab, screen, mine):
    """Whatever happens in the block: afterwards nothing of the lab is left, and that is checked."""
    import registry
    try:
        yield
    except Exception as e:  # whatever it was: say it before the rest
        screen.step(f"FAILED: {type(e).__name__}: {e}")
        log = os.path.join(lab.directory, "flowtapd.log")
        if os.path.exists(log):
            with open(log, errors="replace") as f:
                screen.more("the end of flowtapd's log:\n" + "".join(f.readlines()[-20:]))
        raise Failure from e
    except BaseException:
        screen.step("stopped")
        raise
    finally:
        screen.step("removing everything")
        pids = [p.pid for p in (lab.net.hosts if lab.net else [])]
        processes = [(pid, registry.start_time(pid)) for pid in pids]
        processes += [tuple(p) for p in lab.entry.data["processes"]] if lab.entry else []
        lab.stop()
        mine.remove()
        left = [f"process {pid}" for pid, started in registry.wait_gone([p for p in processes if p[1]])]
        left += [path for path in (lab.directory, f"/sys/class/net/{lab.name}") if os.path.exists(path)]
        screen.step(f"not removed: {', '.join(left)}" if left else "nothing is left: no process, no link, no file")


if __name__ == "__main__":
    sys.exit(main())
