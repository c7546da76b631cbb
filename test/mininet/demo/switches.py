"""What the switches hold, in words that stay the same when a port comes back with another number."""

import re
import time

import ofdump

_PORT = re.compile(r"\b(in_port=|output:)(\d+)\b")
_REGISTER = re.compile(r"(set_field:)(0x[0-9a-f]+)(?=->reg1\b)|\b(reg1=)(0x[0-9a-f]+)(?![\w/])")  # the output port


def snapshot(lab):
    """Flows and groups of every node, with ports by their names: Open vSwitch gives a port that
    is plugged in again another number."""
    return {name: _named(lab, name) for name in lab.nodes}


def wait_equal(lab, before, timeout=10.0):
    """Wait until the switches hold what before says; returns how they differ, empty when they do not."""
    deadline = time.monotonic() + timeout
    while True:
        left = ofdump.difference(before, snapshot(lab))
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.1)


def dropped(lab):
    """What each switch says that it has dropped by itself, by its coverage counters, as lines."""
    lines = []
    for name in lab.nodes:
        for line in lab.appctl(name, "coverage/show").splitlines():
            found = re.match(r"(\w*drop\w*)\s.*total: (\d+)$", line)
            if found:
                lines.append(f"{name}: {found[1]} {found[2]}")
    return lines


def _named(lab, node):
    names = {number: name for number, name in re.findall(r"^ *(\w+)\(([^)]+)\): addr", lab.ofctl(node, "show"), re.M)}

    def by_number(found):
        return found[1] + names.get(found[2], found[2])

    def by_register(found):
        what, number = found[1] or found[3], found[2] or found[4]
        return what + names.get(str(int(number, 16)), number)

    lines = []
    for line in lab.dump(node):
        line = _PORT.sub(by_number, line)
        line = _REGISTER.sub(by_register, line)
        head, *buckets = line.split(",bucket=")  # in no order that matters
        lines.append(",bucket=".join([head, *sorted(buckets)]))
    return sorted(lines)
