"""One scenario a file; run(w, check) is its story. The order here is the order of a full run."""

NAMES = ["connectivity", "taps", "stale_megaflow", "migration", "restart", "bad_input"]
