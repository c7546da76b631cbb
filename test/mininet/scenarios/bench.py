"""The benchmarks run, yield figures, and count exactly; how fast is not their question here."""

import bench_failover
import bench_latency
import bench_moves
import bench_scenarios


def scenarios(w, check):
    """One short round of the paper's (a): every variant is counted, OVS's Mirror through a tunnel included."""
    found = bench_scenarios.measure(w, check, "a", rounds=1, amount=("-n", "2M"), pings=10)
    check.equal("variants", bench_scenarios.VARIANTS, [f["variant"] for f in found])
    check.that("each has figures", all(f[k]["median"] > 0 and f["frames"] > 100 for f in found for k in ("mbit", "mbit_ratio", "rtt", "rtt_ratio")), found)
    check.that("the Mirror works", found[-1]["seen"] > 0, found[-1])


def failover(w, check):
    """A local monitor and a remote one go and come back once."""
    found = bench_failover.measure(w, check, 1, 0)
    check.that("both have figures", len(found) == 2 and all(f[k]["p50"] > 0 for f in found for k in ("gap", "through")), found)


def moves(w, check):
    """One move of each kind; that nothing escapes in a live one is the scenario moves' question."""
    found = bench_moves.measure(w, check, 1, ("plug",), ("redirect",))
    w.reset()
    found += bench_moves.measure(w, check, 1, ("live",), ("no tap",))
    check.that("each has figures", len(found) == 2 and all(f[k]["p50"] > 0 for f in found for k in ("out_gap", "in_gap")), found)


def latency(w, check):
    """Some taps, one after the other."""
    w.network("shop")
    web, far = w.vms("shop", ("web", "n1"), ("far", "n2"))
    there, = w.monitors(("there", "n3"))
    found = bench_latency.measure(w, check, "remote monitor", web, far, there, 3)
    check.that("each time has a figure", all(found[k]["p50"] > 0 for k in ("created", "first_copy", "active", "deleted")), found)


STORIES = [scenarios, failover, moves, latency]
