"""One scenario a file, with its stories in STORIES. The order here is the order of a full run.

A story is a function of the world and the checks. It starts with flowtapd running and no networks,
ports or taps, and may leave any of them behind.
"""

NAMES = ["connectivity", "taps", "kinds", "monitors", "stale_megaflow", "megaflows", "migration", "moves", "silence", "restart", "drift", "bad_input", "fields", "inline",
         "redirect", "options", "dhcp", "inline_tcp", "escape", "peers", "pools", "policies", "placement", "chaos"]

# Run only when named: whether the benchmarks run and count right, which takes all of a machine.
WHEN_NAMED = ["bench"]

# With labs side by side the long ones begin first.
LONG = ["chaos.everything_fails", "placement.a_hot_node", "placement.a_flow_too_large_for_one", "drift.under_traffic", "fields.what_a_frame_says", "stale_megaflow.with_the_epoch", "dhcp.a_lease_through_a_redirect", "megaflows.with_and_without_taps_elsewhere",
        "escape.nothing_escapes", "redirect.one_armed", "redirect.two_armed", "inline_tcp.a_stream_through_the_monitor"]

# What differs from one tunnel type to another: copies, diverted frames and returned ones, between any two nodes.
OVER_EVERY_TUNNEL = ["taps", "migration", "redirect.one_armed"]

# What differs from one layout of a node to the other: ports of its own, across the patch, and everything that
# goes round by a tunnel, a monitor or an epoch.
IN_EVERY_LAYOUT = ["taps", "kinds.undeclared_addresses", "kinds.behind_a_gateway", "kinds.a_sender_does_not_receive", "redirect.one_armed",
                   "migration.under_traffic", "restart.a_switch_restarts"]
