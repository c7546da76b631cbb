"""Reading what ovs-ofctl prints."""

import re
from dataclasses import dataclass

_STATS = re.compile(r"(cookie|duration|table|n_packets|n_bytes|idle_age|hard_age|idle_timeout|hard_timeout|priority)=([^,\s]+)")


@dataclass(frozen=True)
class Flow:
    """One line of dump-flows."""

    text: str  # without cookie, duration and counters: two flows are the same flow when this is equal
    cookie: str
    duration: float  # seconds
    packets: int


def flows(dump):
    """The flows of a dump-flows output, in its order."""
    out = []
    for line in dump.splitlines():
        if "duration=" not in line:
            continue
        values = dict(_STATS.findall(line.split(" actions=")[0]))
        out.append(Flow(plain(line), values.get("cookie", "0x0"), float(values["duration"].rstrip("s")), int(values["n_packets"])))
    return out


def plain(line):
    """A dump-flows line without what changes by itself."""
    line = re.sub(r"\b(duration|n_packets|n_bytes|idle_age|hard_age)=[^,\s]+,\s*", "", line.strip())
    return re.sub(r"^cookie=[^,]+, ", "", line)


def normal(flow_dump, group_dump, meter_dump=""):
    """Sorted lines of the dumps; cookies count, counters and durations do not."""
    lines = [f"{f.cookie} {f.text}" for f in flows(flow_dump)]
    lines += [g.strip() for g in group_dump.splitlines() if "group_id=" in g]
    # A meter is a line, and one for each of its bands.
    lines += [" ".join(m.split()) for m in re.findall(r"meter=[^\n]*(?:\n(?!\S*meter=|OFPST)[^\n]+)*", meter_dump)]
    return sorted(lines)


def difference(before, after):
    """Lines that two snapshots (node to lines) do not share, marked - and +, with the node."""
    out = []
    for node in sorted(set(before) | set(after)):
        a, b = list(before.get(node, [])), list(after.get(node, []))
        for line in list(a):
            if line in b:
                a.remove(line)
                b.remove(line)
        out += [f"{node} - {line}" for line in a] + [f"{node} + {line}" for line in b]
    return out
