"""What a match says of a frame's own fields, case by case.

A case is a match and one field of a frame, with values that have the match and values that do not.
"""

from collections import namedtuple

import frames

Case = namedtuple("Case", "match kinds field yes no fixed")


def on(match, kinds, field, yes, no, **fixed):
    """Frames of each of the kinds, alike but for one field, have the match or not by its value.

    The field "kind" is the kind itself. None is a frame without that field. fixed are fields that
    all of the frames have.
    """
    return Case(match, kinds.split(), field, yes, no, fixed)


IP4 = ["udp", "tcp", "sctp", "icmp", "igmp", "ip"]
IP6 = ["udp6", "tcp6", "sctp6", "icmp6", "ip6", "ns", "na"]
ELSE = ["arp", "rarp", "raw", "llc"]
PIECES = ["first", "later", "last"]

# Tags are tried without DEI: a userspace Open vSwitch clears that bit when a port receives it, for everyone.
VLAN = [
    on("dl_vlan=42", "udp tcp6 arp raw", "dl_vlan", [42], [None, 0, 41, 43, 0xFFF]),
    on("dl_vlan=0", "udp", "dl_vlan", [0], [None, 1]),
    on("dl_vlan=0xffff", "udp arp", "dl_vlan", [None], [0, 42]),
    on("dl_vlan=42", "udp6", "vlan_tci", [0x002A, 0x602A, 0xE02A], [0x602B, None]),
    on("dl_vlan=42", "udp", "vlan_tci", [42], [43, None], inner_tci=43),
    on("dl_vlan_pcp=3", "udp tcp6 arp", "vlan_tci", [0x6000, 0x602A], [None, 0, 0x2000, 0x402A, 0xE02A]),
    on("dl_vlan_pcp=0", "udp", "vlan_tci", [0, 42], [None, 0x2000]),
    on("dl_vlan=42,dl_vlan_pcp=3", "udp", "vlan_tci", [0x602A], [None, 0x602B, 0x402A]),
    on("vlan_tci=0", "udp arp raw", "vlan_tci", [None], [0, 42, 0x2000]),
    on("vlan_tci=0x702a", "udp", "vlan_tci", [0x602A], [None, 0x402A, 0x602B]),
    on("vlan_tci=0x1000/0x1000", "udp raw", "vlan_tci", [0, 42, 0x602A], [None]),
    on("vlan_tci=0x0005/0x000f", "udp", "vlan_tci", [5, 0x15, 0x6FF5], [None, 4, 0x50]),
    on("vlan_tci=0x2000/0x6000", "udp", "vlan_tci", [0x202A, 0xA02A], [None, 42, 0x402A, 0x602A, 0xE02A]),
    on("vlan_tci=0x0000/0x0fff", "udp", "vlan_tci", [None, 0, 0x6000], [1, 42, 0x602A]),
    on("vlan_tci=0x0000/0xe000", "udp", "vlan_tci", [None, 0, 42], [0x202A, 0xE000]),
]

ETHERNET = [
    on("dl_src=02:5a:00:00:00:01", "udp arp raw ns", "dl_src", ["02:5a:00:00:00:01"], ["02:5a:00:00:00:02", "02:5b:00:00:00:01"]),
    on("dl_src=02:5a:00:00:00:00/ff:ff:00:00:00:00", "udp6 raw", "dl_src", ["02:5a:00:00:00:01", "02:5a:ff:ff:ff:ff"], ["02:5b:00:00:00:01"]),
    on("dl_src=00:00:00:00:00:05/00:00:00:00:00:0f", "udp", "dl_src", ["02:5a:00:00:00:05", "02:5b:00:00:00:f5"], ["02:5a:00:00:00:04"]),
    on("dl_type=0x88b5", "raw", "dl_type", [0x88B5], [0x88B6, 0x88A5]),
    on("dl_type=0x88b5", "raw", "dl_type", [0x88B5], [0x88B6], dl_vlan=42),
    on("dl_type=0x0800", "", "kind", IP4, IP6 + ELSE),
    on("dl_type=0x86dd", "", "kind", IP6, IP4 + ELSE),
    on("dl_type=0x0806", "", "kind", ["arp"], ["rarp", "udp", "ns", "raw"]),
    on("dl_type=0x8035", "", "kind", ["rarp"], ["arp", "udp", "raw"]),
    on("dl_type=0x05ff", "", "kind", ["llc"], ["raw", "udp", "arp"]),
    on("ipv6", "", "kind", ["udp6", "ns"], ["udp", "arp"], dl_vlan=42),
]

IP = [
    on("nw_src=10.1.2.3", "udp tcp sctp icmp ip", "nw_src", ["10.1.2.3"], ["10.1.2.4", "10.1.2.2", "11.1.2.3"]),
    on("nw_src=10.1.0.0/16", "udp tcp", "nw_src", ["10.1.0.0", "10.1.255.255"], ["10.0.255.255", "10.2.0.0", "138.1.0.0"]),
    on("nw_src=0.1.0.1/0.255.0.3", "udp", "nw_src", ["10.1.2.1", "11.1.9.5"], ["10.1.2.0", "10.1.2.2", "10.1.2.3"]),
    on("nw_src=10.1.2.3", "udp", "ip_frag", [None, *PIECES], [], nw_src="10.1.2.3"),
    on("nw_dst=10.1.2.3", "udp tcp sctp icmp ip", "nw_dst", ["10.1.2.3"], ["10.1.2.4", "10.1.2.2", "11.1.2.3"]),
    on("nw_dst=10.1.0.0/16", "udp tcp", "nw_dst", ["10.1.0.0", "10.1.255.255"], ["10.0.255.255", "10.2.0.0"]),
    on("nw_dst=10.0.0.3/255.0.0.255", "udp", "nw_dst", ["10.1.2.3", "10.9.9.3"], ["10.1.2.4", "11.1.2.3"]),
    on("nw_proto=TCP", "", "kind", ["tcp", "tcp6"], ["udp", "udp6", "sctp", "icmp", "icmp6", *ELSE]),
    on("nw_proto=UDP", "", "kind", ["udp", "udp6"], ["tcp", "tcp6", "sctp6", "ip", "ns", *ELSE]),
    on("nw_proto=SCTP", "", "kind", ["sctp", "sctp6"], ["udp", "udp6", "tcp", "ip6", *ELSE]),
    on("nw_proto=ICMP", "", "kind", ["icmp"], ["icmp6", "igmp", "udp", "ns", *ELSE]),
    on("nw_proto=ICMPv6", "", "kind", ["icmp6", "ns", "na"], ["icmp", "udp6", *ELSE]),
    on("nw_proto=IGMP", "", "kind", ["igmp"], ["icmp", "udp", "ip"]),
    on("nw_proto=253", "", "kind", ["ip", "ip6"], ["udp", "udp6", "icmp", *ELSE]),
    on("nw_proto=GRE", "ip ip6", "nw_proto", [47], [46, 48, 253]),
    on("nw_proto=0", "ip", "nw_proto", [0], [1, 253]),
    # A later IPv6 fragment has the protocol 44 for Open vSwitch: what it is a fragment of stands behind a header that it skips.
    on("tcp", "tcp", "ip_frag", [None, *PIECES], []),
    on("tcp", "tcp6", "ip_frag", [None, "first"], ["later", "last"]),
    on("nw_proto=44", "tcp6 udp6 icmp6", "ip_frag", ["later", "last"], [None, "first"]),
    on("udp,ip", "", "kind", ["udp"], ["udp6", "tcp"]),
    on("sctp6", "", "kind", ["sctp6"], ["sctp", "udp6"]),
    on("nw_tos=32", "udp tcp6 icmp ip6", "nw_tos", [32], [0, 4, 36, 64, 160], nw_ecn=1),
    on("nw_tos=0", "udp udp6", "nw_tos", [0], [4, 128], nw_ecn=3),
    on("ip_dscp=46", "udp udp6", "nw_tos", [184], [0, 180, 188]),
    on("nw_tos=32", "udp udp6", "nw_ecn", [0, 1, 2, 3], [], nw_tos=32),
    on("nw_ecn=0", "udp udp6", "nw_ecn", [0], [1, 2, 3], nw_tos=32),
    on("nw_ecn=1", "udp udp6", "nw_ecn", [1], [0, 2, 3]),
    on("nw_ecn=3", "tcp tcp6", "nw_ecn", [3], [0, 1, 2], nw_tos=4),
    on("nw_ttl=7", "udp tcp6 icmp ip6", "nw_ttl", [7], [0, 6, 8, 64, 255]),
    on("nw_ttl=0", "udp udp6", "nw_ttl", [0], [1, 255]),
    on("nw_ttl=255", "ns udp", "nw_ttl", [255], [254, 1]),
    on("ip_frag=no", "udp udp6 tcp icmp6 ip", "ip_frag", [None], PIECES),
    on("ip_frag=yes", "udp udp6 tcp icmp6 ip", "ip_frag", PIECES, [None]),
    on("ip_frag=first", "udp udp6 tcp icmp6 ip", "ip_frag", ["first"], [None, "later", "last"]),
    on("ip_frag=later", "udp udp6 tcp icmp6 ip", "ip_frag", ["later", "last"], [None, "first"]),
    on("ip_frag=not_later", "udp udp6 tcp icmp6 ip", "ip_frag", [None, "first"], ["later", "last"]),
    on("udp,ip_frag=any", "udp", "ip_frag", [None, *PIECES], []),
    on("ip_frag=no", "", "kind", IP4 + IP6, ELSE),
    on("ip_frag=not_later", "", "kind", IP4 + IP6, ELSE),
    on("ip_frag=later", "udp", "ip_frag", ["later"], [None, "first"], dl_vlan=42),
]

IPV6 = [
    on("ipv6_src=fd11::1", "udp6 tcp6 sctp6 icmp6 ip6 ns", "ipv6_src", ["fd11::1"], ["fd11::2", "fd12::1", "fd11::1:0:0:1"]),
    on("ipv6_src=fd11::/16", "udp6 tcp6", "ipv6_src", ["fd11::1", "fd11:ffff::1"], ["fd12::1", "fd10:ffff::1"]),
    on("ipv6_src=::5/::f", "udp6", "ipv6_src", ["fd11::5", "fd12::15"], ["fd11::4"]),
    on("nw_src=fd11::/16", "udp6", "ipv6_src", ["fd11::1"], ["fd12::1"]),
    on("ipv6_src=fd11::1", "udp6", "ip_frag", [None, *PIECES], [], ipv6_src="fd11::1"),
    on("ipv6_dst=fd11::1", "udp6 tcp6 sctp6 icmp6 ip6 na", "ipv6_dst", ["fd11::1"], ["fd11::2", "fd12::1"]),
    on("ipv6_dst=fd11:0:0:1::/64", "udp6 tcp6", "ipv6_dst", ["fd11:0:0:1::", "fd11:0:0:1:ffff::"], ["fd11:0:0:2::", "fd11::1"]),
    on("ipv6_dst=::5/::f", "udp6", "ipv6_dst", ["fd11::5", "fd12::15"], ["fd11::4"]),
    on("ipv6_label=0x12345", "udp6 tcp6 icmp6 ip6 ns", "ipv6_label", [0x12345], [0, 0x12344, 0x2345]),
    on("ipv6_label=0x12300/0xfff00", "udp6", "ipv6_label", [0x12300, 0x123FF], [0, 0x12400, 0x2300]),
    on("ipv6_label=0", "udp6", "ipv6_label", [0], [1, 0x80000]),
]


def _ports(name):
    """Every spelling of ports, for one protocol over both IPs."""
    kinds = f"{name} {name}6"
    others = [k for p in ("udp", "tcp", "sctp") if p != name for k in (p, p + "6")]
    return [
        on(f"{name},tp_src=1234", kinds, "tp_src", [1234], [1233, 1235, 4000]),
        on(f"{name},tp_dst=80", kinds, "tp_dst", [80], [0, 81, 8080]),
        on(f"{name},tp_dst=80", "", "kind", [name, name + "6"], others, tp_dst=80),
        on(f"{name}_dst=80,ip", "", "kind", [name], [name + "6", *others], tp_dst=80),
        on(f"{name},tp_src=0x0400/0xff00", kinds, "tp_src", [0x400, 0x4FF], [0x3FF, 0x500]),
        on(f"{name},tp_dst=0x0001/0x0003", kinds, "tp_dst", [1, 4001, 0xFFFD], [0, 2, 3, 4002]),
        on(f"{name},tp_dst=1000-1999", kinds, "tp_dst", [1000, 1023, 1024, 1500, 1999], [0, 999, 2000, 2023]),
        on(f"{name},tp_src=0-1023", kinds, "tp_src", [0, 1, 1023], [1024, 0xFFFF]),
        on(f"{name},tp_dst=80", kinds, "ip_frag", [None, "first"], ["later", "last"], tp_dst=80),
        on(f"{name},tp_dst=0", kinds, "ip_frag", [None, "first"], ["later", "last"], tp_dst=0),
        on(f"{name},tp_dst=80", kinds, "tp_dst", [80], [81], dl_vlan=42),
    ]


TRANSPORT = _ports("tcp") + _ports("udp") + _ports("sctp") + [
    on("icmp,icmp_type=8", "icmp", "icmp_type", [8], [0, 3, 9, 128]),
    on("icmp,icmp_type=0", "icmp", "icmp_type", [0], [8, 1]),
    on("icmp,icmp_type=3,icmp_code=4", "icmp", "icmp_code", [4], [0, 3, 5], icmp_type=3),
    on("icmp,icmp_code=0", "icmp", "icmp_code", [0], [1], icmp_type=11),
    on("icmp,icmp_type=8", "icmp", "ip_frag", [None, "first"], ["later", "last"]),
    on("icmp,icmp_type=0", "icmp", "ip_frag", [None, "first"], ["later", "last"], icmp_type=0),
    on("icmp6,icmp_type=128", "icmp6", "icmp_type", [128], [129, 1, 8]),
    on("icmpv6_type=1,icmpv6_code=4", "icmp6", "icmp_code", [4], [0, 3], icmp_type=1),
    on("icmp6,icmp_type=135", "", "kind", ["ns"], ["na", "icmp6", "icmp"]),
    on("icmp6,icmp_type=128", "icmp6", "ip_frag", [None, "first"], ["later", "last"]),
]

NEIGHBOURS = [
    on("arp_op=1", "arp", "arp_op", [1], [2, 3, 257]),
    on("arp_op=2", "arp", "arp_op", [2], [1]),
    on("arp_sha=02:5a:00:00:00:01", "arp", "arp_sha", ["02:5a:00:00:00:01"], ["02:5a:00:00:00:02"]),
    on("arp_sha=02:5a:00:00:00:00/ff:ff:00:00:00:00", "arp", "arp_sha", ["02:5a:00:00:00:01"], ["02:5b:00:00:00:01"]),
    on("arp_tha=02:5a:00:00:00:01", "arp", "arp_tha", ["02:5a:00:00:00:01"], [frames.NO_MAC, "02:5a:00:00:00:02"]),
    on("arp_tha=00:00:00:00:00:00", "arp", "arp_tha", [frames.NO_MAC], ["02:5a:00:00:00:02"]),
    on("arp_spa=10.1.2.3", "arp", "arp_spa", ["10.1.2.3"], ["10.1.2.4", "10.0.2.3"]),
    on("arp_spa=10.1.0.0/16", "arp", "arp_spa", ["10.1.2.3"], ["10.2.2.3"]),
    on("arp_tpa=10.1.2.3", "arp", "arp_tpa", ["10.1.2.3"], ["10.1.2.4"]),
    on("arp_tpa=10.1.0.0/16", "arp", "arp_tpa", ["10.1.2.3"], ["10.2.2.3"]),
    on("arp,arp_tpa=10.1.2.3", "arp", "arp_tpa", ["10.1.2.3"], ["10.1.2.4"], dl_vlan=42),
    on("rarp,arp_op=3", "rarp", "arp_op", [3], [4]),
    on("rarp,arp_sha=02:5a:00:00:00:01", "rarp", "arp_sha", ["02:5a:00:00:00:01"], ["02:5a:00:00:00:02"]),
    on("arp_op=1", "", "kind", ["arp"], ["rarp", "icmp", "udp"]),
    on("nd_target=fd11::1", "ns na", "nd_target", ["fd11::1"], ["fd11::2", "fd12::1"]),
    on("nd_target=fd11::/16", "ns na", "nd_target", ["fd11::1", "fd11::2"], ["fd12::1"]),
    on("icmp6,icmp_type=136,nd_target=fd11::1", "", "kind", ["na"], ["ns"], nd_target="fd11::1"),
    on("nd_sll=02:5a:00:00:00:01", "ns", "nd_sll", ["02:5a:00:00:00:01"], ["02:5a:00:00:00:02", False]),
    on("nd_sll=02:5a:00:00:00:00/ff:ff:00:00:00:00", "ns", "nd_sll", ["02:5a:00:00:00:01"], ["02:5b:00:00:00:01", False]),
    on("nd_tll=02:5a:00:00:00:01", "na", "nd_tll", ["02:5a:00:00:00:01"], ["02:5a:00:00:00:02", False]),
    on("nd_tll=02:5a:00:00:00:00/ff:ff:00:00:00:00", "na", "nd_tll", ["02:5a:00:00:00:01"], ["02:5b:00:00:00:01", False]),
    on("nd_target=fd11::1", "ns", "nd_target", ["fd11::1"], ["fd11::2"], dl_vlan=42),
    on("nd_target=fd11::1,nd_sll=02:5a:00:00:00:01", "ns", "nd_sll", ["02:5a:00:00:00:01"], ["02:5a:00:00:00:02"], nd_target="fd11::1"),
]

CASES = VLAN + ETHERNET + IP + IPV6 + TRANSPORT + NEIGHBOURS
