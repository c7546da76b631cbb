"""Where a frame gets lost between two VMs: what both switches would do with it, and what they know of each other, briefly."""

import contextlib
import re

MAX = 6  # lines of any one dump


def between(lab, a, b, frame):
    """A few lines on the way of a frame that VM a sends to VM b, for a check that it did not come."""
    lines = [f"{a.name} on {a.node.name} port {lab.ofport(a)}, {b.name} on {b.node.name} port {lab.ofport(b)}"]
    label = ""
    with contextlib.suppress(Exception):
        bridge = a.node.bridges[0]
        actions = traced(lab.appctl(a.node, "ofproto/trace", bridge, f"in_port={lab.ofport(a)}", frame.hex()))
        lines.append(f"{a.node.name} would now do: {actions}")
        label = (re.search(r"vni=0x([0-9a-f]+)|key=0x([0-9a-f]+)", actions) or [""])[0]
    underlay = a.node.tunnel_ip.rpartition(".")[0] + "."
    for node in dict.fromkeys((a.node, b.node)):
        with contextlib.suppress(Exception):
            flows = [line for line in lab.appctl(node, "dpctl/dump-flows", "--names").splitlines() if concerns(line, a, b, label)]
            lines += [f"{node.name} does: {line}" for line in flows[:MAX]]
        for words in (("tnl/ports/show", "-v"), ("tnl/neigh/show",), ("ovs/route/show",)):
            with contextlib.suppress(Exception):
                known = [line for line in lab.appctl(node, *words).splitlines() if underlay in line]
                lines += [f"{node.name} {words[0]}: {line}" for line in known[:MAX]]
    return "\n".join(lines)


def traced(text):
    """The last line of a trace: what the datapath would do."""
    return text.strip().splitlines()[-1].removeprefix("Datapath actions: ")


def concerns(line, a, b, label):
    """Whether a flow of a datapath may have to do with frames from a to b."""
    number = label.partition("=")[2]
    return f"in_port({a.interface})" in line or a.mac in line or b.mac in line or bool(number) and f"tun_id={number}," in line
