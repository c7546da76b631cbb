"""TCP of real kernels through an inline monitor: intact, also a connection that was open before; verdicts take effect."""

import time

import kernel
from inline import Inline
from world import WAIT


def a_stream_through_the_monitor(w, check, size=100_000_000):
    """100 MB arrive intact; told to drop, the monitor stops the transfer; told to pass, it goes on."""
    w.network("shop")
    client, server = w.vms("shop", ("client", "n1"), ("server", "n2"), quiet=False)
    for ids, amount in zip(w.monitors(("here", "n1"), ("there", "n3")), (size, size // 10)):
        with Inline((ids, ids)) as inline, kernel.Connection(client, server, 80, timeout=300) as connection:
            connection.transfer(100_000)
            check.equal(f"monitor on {ids.node.name}: nothing passes it before", 0, inline.counts["received"])
            tap = w.redirect(server, ids, "tcp,tp_dst=80", "both")
            begin, before = time.monotonic(), inline.counts
            check.that(f"monitor on {ids.node.name}: {amount // 1_000_000} MB over a connection that was open before arrive intact", connection.transfer(amount))
            took, after = time.monotonic() - begin, inline.counts
            print(f"     {amount / took / 125_000:.0f} Mbit/s", flush=True)
            passed = after["bytes"] - before["bytes"]
            check.that(f"monitor on {ids.node.name}: all of it passed the monitor ({passed:,} bytes in {after['received']:,} frames)", passed > amount, after)
            check.equal(f"monitor on {ids.node.name}: it lost none", (0, 0), (after["overrun"], after["refused"]))

            inline.tell("drop")
            connection.client.sendall(b"x" * 10_000)
            connection.server.settimeout(2)
            try:
                got = connection.server.recv(1)
                check.that(f"monitor on {ids.node.name}: told to drop, nothing arrives", False, got)
            except TimeoutError:
                check.that(f"monitor on {ids.node.name}: told to drop, nothing arrives", inline.counts["dropped"] > 0)
            inline.tell("pass")
            connection.server.settimeout(30)
            left = 10_000
            while left:
                left -= len(connection.server.recv(left))
            check.that(f"monitor on {ids.node.name}: told to pass again, the connection goes on", True)
            w.untap(tap)
            seen = inline.counts["received"]
            check.that(f"monitor on {ids.node.name}: the redirect deleted, the connection goes on", connection.transfer(100_000))
            check.that(f"monitor on {ids.node.name}: and past the monitor", inline.counts["received"] - seen < 20, inline.counts["received"] - seen)


def a_verdict_on_content(w, check):
    """A request that the monitor dislikes is reset, in the name of either end; another passes."""
    w.network("shop")
    client, server = w.vms("shop", ("client", "n1"), ("server", "n2"), quiet=False)
    ids, = w.monitors(("ids", "n3"))
    w.redirect(server, ids, "tcp,tp_dst=80", "in")
    with Inline((ids, ids)) as inline:
        inline.tell("reset-if /evil")
        with kernel.Connection(client, server, 80) as connection:
            connection.client.sendall(b"GET /good HTTP/1.1\r\n\r\n")
            check.equal("a good request arrives", b"GET /good HTTP/1.1\r\n\r\n", connection.server.recv(100))
            connection.server.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            check.equal("and its answer", b"HTTP/1.1 200 OK\r\n\r\n", connection.client.recv(100))
        with kernel.Connection(client, server, 80) as connection:
            connection.client.sendall(b"GET /evil HTTP/1.1\r\n\r\n")
            for name, end in (("client", connection.client), ("server", connection.server)):
                end.settimeout(WAIT)
                try:
                    check.that(f"an evil one resets the connection at the {name}", False, end.recv(100))
                except ConnectionResetError:
                    check.that(f"an evil one resets the connection at the {name}", True)
        check.equal("two segments were invented", 2, inline.counts["invented"])


STORIES = [a_stream_through_the_monitor, a_verdict_on_content]
