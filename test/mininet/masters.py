"""Who acted on a switch, from the switch's own log of OpenFlow messages.

    watch = Masters(w.lab, ["n1", "n2"])
    ...
    wrong = watch.wrong()

A controller may change a switch only while the switch holds it for master (OpenFlow 1.3.5 §6.3.5). Open vSwitch
refuses changes of slaves, not those of controllers that never asked for a role: these count as wrong here.

The leader speaks to a switch through its master, which must not go back to an older leader: that is in the masters' logs.
"""

import collections
import os
import re

HEAD = re.compile(r"\|vconn\|DBG\|(\S+): (received|sent)(?: \(\w+\))?: (\S+) \(OF1\.3\) \(xid=(0x[0-9a-f]+)\):(.*)", re.DOTALL)
BEGIN = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z\|")  # of a message; what follows it on other lines belongs to it
CHANGES = ("OFPT_FLOW_MOD", "OFPT_GROUP_MOD", "OFPT_METER_MOD")
ROLE = re.compile(r"\brole=(\w+)(?: generation_id=(\d+))?")
MASTER = ("master", "primary")  # as Open vSwitch spelled it, and spells it
STARTED = "|vlog|INFO|opened log file"  # the first that ovs-vswitchd says
RELAY = re.compile(r'msg="a relay begins".* dpid=(\w+) epoch=(\d+)')


def messages(lines):
    """Each with its further lines, the second at most: the rest only says what is in a bundle."""
    message = ""
    for line in lines:
        if BEGIN.match(line):
            yield message
            message = line
        elif message.count("\n") < 2:
            message += line
    yield message


class Masters:
    """Reads the logs of nodes' switches from now on; the messages are logged from now on, too."""

    def __init__(self, lab, nodes):
        self.lab, self.nodes = lab, nodes
        for n in nodes:
            lab.appctl(n, "vlog/set", "vconn:file:dbg")
            lab.nodes[n].log_levels = "-vvconn:file:dbg"  # of one that is restarted: from its first message on
            self.all_of(n)
        self._from = {n: os.path.getsize(self._path(n)) for n in nodes}

    def all_of(self, node):
        """Have every message logged, however many; to be said again after a restart."""
        self.lab.appctl(node, "vlog/disable-rate-limit", "vconn")

    def close(self):
        for n in self.nodes:
            self.lab.nodes[n].log_levels = ""

    def _path(self, node):
        return os.path.join(self.lab.directory, f"{node}-vswitchd.log")

    def acts(self):
        """Node to what was done there."""
        found = {}
        for n in self.nodes:
            with open(self._path(n), errors="replace") as f:
                f.seek(self._from[n])
                found[n] = Acts(f)
        return found


def relays_gone_back(path):
    """Lines of a replica's log by which it let an older leader speak to a switch after a newer one."""
    newest, wrong = {}, []
    with open(path, errors="replace") as f:
        for line in f:
            found = RELAY.search(line)
            if found:
                dpid, epoch = found[1], int(found[2])
                if epoch < newest.get(dpid, 0):
                    wrong.append(f"after epoch {newest[dpid]}: {line.strip()}")
                newest[dpid] = max(epoch, newest.get(dpid, 0))
    return wrong


class Acts:
    """The changes of one switch: `wrong` are lines that say what must not be."""

    def __init__(self, lines):
        self.wrong = []
        self.by = collections.Counter()  # connection to its changes
        self.terms = []  # (generation id, connection), as the switch granted them
        self._life = 0  # the first term that the switch may remember
        self._role = {}  # connection to its role; equal where it never asked
        self._asked = {}  # (connection, xid) to (role, generation id)
        self._refusable = {}  # (connection, xid) to what is wrong unless an error follows
        for message in messages(lines):
            if STARTED in message:  # it knows of no role, nor of a generation that was
                self._role.clear()
                self._life = len(self.terms)
            found = HEAD.search(message)
            if found:
                self._message(" ".join(message.split())[:300], *found.groups())
        self.wrong += self._refusable.values()

    def _message(self, text, connection, way, kind, xid, rest):
        if kind == "OFPT_HELLO":
            self._role.pop(connection, None)  # a new connection
        elif way == "received" and kind == "OFPT_ROLE_REQUEST":
            found = ROLE.search(rest)
            self._asked[connection, xid] = found[1], int(found[2] or 0)
        elif way == "sent" and kind == "OFPT_ROLE_REPLY" and (connection, xid) in self._asked:
            self._granted(text, connection, *self._asked.pop((connection, xid)))
        elif way == "received" and kind in CHANGES:
            self.by[connection] += 1
            if self._role.get(connection) not in MASTER:
                self._refusable[connection, xid] = f"changed by one who is not master: {text}"
        elif way == "sent" and kind == "OFPT_ERROR" and self._refusable.pop((connection, xid), None):
            self.by[connection] -= 1
        elif way == "sent" and kind == "ONFT_BUNDLE_CONTROL" and "type=COMMIT_REPLY" in rest:
            self.by[connection] += 1
            if self._role.get(connection) not in MASTER:
                self.wrong.append(f"changed by one who is not master: {text}")

    def _granted(self, text, connection, role, generation):
        if role in MASTER:
            for other, was in self._role.items():
                if was in MASTER and other != connection:
                    self._role[other] = "slave"
            if self.terms[self._life:] and generation < self.terms[-1][0]:
                self.wrong.append(f"generation {generation} after {self.terms[-1][0]}: {text}")
            if any(g == generation and c != connection for g, c in self.terms[self._life:]):
                self.wrong.append(f"a second master of generation {generation}: {text}")
            self.terms.append((generation, connection))
        if role != "nochange":
            self._role[connection] = role
