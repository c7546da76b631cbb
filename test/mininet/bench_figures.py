"""Figures for people: percentiles, tables, histograms of /metrics."""

import math
import statistics

from api import samples


def percentile(values, p):
    """The smallest value that at least p percent of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * p / 100) - 1)]


def summary(values):
    """p50, p90, p99 and max with the number of values; None without values."""
    if not values:
        return None
    return {"n": len(values), "p50": percentile(values, 50), "p90": percentile(values, 90),
            "p99": percentile(values, 99), "max": max(values)}


def spread(values):
    """Median, lowest and highest."""
    return {"n": len(values), "median": statistics.median(values), "min": min(values), "max": max(values)}


def percentiles(values):
    """Median, 90th percentile, lowest and highest."""
    return {"n": len(values), "p50": percentile(values, 50), "p90": percentile(values, 90), "min": min(values), "max": max(values)}


def table(head, rows):
    """Print rows under a head; the first column to the left, the others to the right."""
    texts = [[str(c) for c in row] for row in [head, *rows]]
    widths = [max(len(row[i]) for row in texts) for i in range(len(head))]
    for n, row in enumerate(texts):
        print("  " + "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))), flush=True)
        if n == 0:
            print("  " + "-" * (sum(widths) + 2 * len(widths) - 2))


def load():
    """The load averages of the last 1, 5 and 15 minutes, as text."""
    with open("/proc/loadavg") as f:
        return " ".join(f.read().split()[:3])


class Histogram:
    """What a histogram of /metrics got between two looks."""

    def __init__(self, api, name):
        self._api, self._name = api, name
        self._before = self._read()

    def _read(self):
        text = self._api.request("GET", "/metrics").text
        found = {"count": 0.0, "sum": 0.0}
        for name, labels, value in samples(text):
            if name == self._name + "_bucket":
                found[labels["le"]] = value
            elif name in (self._name + "_count", self._name + "_sum"):
                found[name.rsplit("_", 1)[1]] = value
        return found

    def taken(self):
        """count, mean, and the p50, p90, p99 as the bounds between which they lie, in milliseconds."""
        now = self._read()
        grown = {k: v - self._before.get(k, 0) for k, v in now.items()}
        count = grown.pop("count")
        total = grown.pop("sum")
        if not count:
            return None
        out = {"n": int(count), "mean": 1000 * total / count}
        bounds = sorted((float(le), n) for le, n in grown.items())
        for p in (50, 90, 99):
            low = 0.0
            for bound, n in bounds:
                if n >= count * p / 100:
                    out[f"p{p}"] = [1000 * low, 1000 * bound]
                    break
                low = bound
        return out
