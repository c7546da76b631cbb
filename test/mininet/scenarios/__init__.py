"""One scenario a file, with its stories in STORIES. The order here is the order of a full run.

A story is a function of the world and the checks. It starts with flowtapd running and no networks,
ports or taps, and may leave any of them behind.
"""

NAMES = ["connectivity", "taps", "kinds", "monitors", "stale_megaflow", "megaflows", "migration", "restart", "bad_input", "fields", "inline"]

# Run only when named, until redirect is in the pipeline.
UPCOMING = ["redirect", "dhcp", "inline_tcp", "escape"]
