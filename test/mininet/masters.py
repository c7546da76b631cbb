"""Who acted on a switch, from the switch's own log of OpenFlow messages.

    watch = Masters(w.lab, ["n1", "n2"])
    ...
    wrong = watch.wrong()

A controller may change a switch only while the switch holds it for master (OpenFlow 1.3.5 §6.3.5). Open vSwitch
refuses changes of slaves, not those of controllers that never asked for a role: these count as wrong here.
"""

import collections
import os
import re

LINE = re.compile(r"\|vconn\|DBG\|(\S+): (received|sent)(?: \(\w+\))?: (\S+) \(OF1\.3\) \(xid=(0x[0-9a-f]+)\):(.*)")
# What changes a switch: of a bundle its commit.
CHANGES = ("OFPT_FLOW_MOD", "OFPT_GROUP_MOD", "OFPT_METER_MOD")
COMMIT = re.compile(r"\btype=COMMIT_REQUEST\b")
ROLE = re.compile(r"\brole=(\w+)(?: generation_id=(\d+))?")


class Masters:
    """Reads the logs of nodes' switches from now on; the messages are logged from now on, too."""

    def __init__(self, lab, nodes):
        self.lab, self.nodes = lab, nodes
        for n in nodes:
            lab.appctl(n, "vlog/disable-rate-limit", "vconn")
            lab.appctl(n, "vlog/set", "vconn:file:dbg")
        self._from = {n: os.path.getsize(self._path(n)) for n in nodes}

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


class Acts:
    """The changes of one switch: `wrong` are lines that say what must not be."""

    def __init__(self, lines):
        self.wrong = []
        self.by = collections.Counter()  # connection to its changes
        self.terms = []  # (generation id, connection), as the switch granted them
        self._role = {}  # connection to its role; equal where it never asked
        self._asked = {}  # (connection, xid) to (role, generation id)
        self._changes = {}  # (connection, xid) to what an error would take back
        for line in lines:
            found = LINE.search(line)
            if found:
                self._message(line, *found.groups())
        self.wrong += [text for text in self._changes.values() if text]

    def _message(self, line, connection, way, kind, xid, rest):
        if way == "received" and kind == "OFPT_HELLO":
            self._role.pop(connection, None)  # a new connection
        elif way == "received" and kind == "OFPT_ROLE_REQUEST":
            found = ROLE.search(rest)
            self._asked[connection, xid] = found[1], int(found[2] or 0)
        elif way == "sent" and kind == "OFPT_ROLE_REPLY" and (connection, xid) in self._asked:
            role, generation = self._asked.pop((connection, xid))
            self._granted(line, connection, role, generation)
        elif way == "received" and (kind in CHANGES or kind == "OFPT_BUNDLE_CONTROL" and COMMIT.search(rest)):
            self.by[connection] += 1
            if self._role.get(connection) != "master":
                self._changes[connection, xid] = f"{connection} acts without being master: {line.strip()[:300]}"
        elif way == "sent" and kind == "OFPT_ERROR" and self._changes.pop((connection, xid), None):
            self.by[connection] -= 1  # refused

    def _granted(self, line, connection, role, generation):
        if role == "nochange":
            return
        if role == "master":
            for other, was in self._role.items():
                if was == "master" and other != connection:
                    self._role[other] = "slave"
            if self.terms and generation < self.terms[-1][0]:
                self.wrong.append(f"generation {generation} after {self.terms[-1][0]}: {line.strip()[:300]}")
            if any(g == generation and c.rsplit(":", 1)[0] != connection.rsplit(":", 1)[0] for g, c in self.terms):
                self.wrong.append(f"two masters of generation {generation}: {line.strip()[:300]}")
            self.terms.append((generation, connection))
        self._role[connection] = role
