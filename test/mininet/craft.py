"""Frames crafted field by field, in the names that matches have for fields.

`craft("udp6", a, b, 7, nw_ttl=3)` is a UDP frame over IPv6 from a to b with hop limit 3 and the
number 7. Every frame bears its number: in its payload, or where it has none in the padding behind.
"""

import struct

import frames
from frames import checksum, ip, mac, with_checksum

SCTP, IGMP = 132, 2
PROTOCOLS = {"udp": frames.UDP, "tcp": frames.TCP, "sctp": SCTP, "icmp": frames.ICMP, "igmp": IGMP, "ip": 253}

# The reply's spelling of a field that has a direction.
REPLY = {a: b for x, y in (("nw_src", "nw_dst"), ("ipv6_src", "ipv6_dst"), ("tp_src", "tp_dst"),
                           ("arp_sha", "arp_tha"), ("arp_spa", "arp_tpa")) for a, b in ((x, y), (y, x))}


def craft(kind, a, b, n, **values):
    """One frame from a to b. kind is udp, tcp, sctp, icmp, igmp or ip, each also with 6 at its end
    for IPv6; ns, na, arp, rarp, raw (an Ethernet II frame of dl_type) or llc (an IEEE 802.3 frame).

    values are fields of matches with plain values: addresses as text, everything else as numbers,
    but ip_frag, which is first, later or last. proto is a protocol whose content is an experiment.
    """
    v = Values(values)
    if kind in ("ns", "na"):
        body = neighbour(kind, a, b, n, v)
    elif kind in ("arp", "rarp"):
        body = address_resolution(kind, a, b, n, v)
    elif kind == "raw":
        body = v.take("dl_type", 0x88B5), frames.numbered(n, 60)
    elif kind == "llc":
        content = b"\x42\x42\x03" + frames.numbered(n, 60)
        body = len(content), content
    else:
        body = packet(kind, a, b, n, v)
    frame = ethernet(a, b, v, *body)
    v.empty(kind)
    return frame


class Values:
    """What the caller asked for; asking for what a kind does not have is an error."""

    def __init__(self, values):
        self.values = dict(values)

    def take(self, name, default=None):
        return self.values.pop(name, default)

    def empty(self, kind):
        if self.values:
            raise ValueError(f"{kind} has no {', '.join(self.values)}")


def ethernet(a, b, v, kind, payload):
    """The header, with up to two tags: vlan_tci, or dl_vlan and dl_vlan_pcp; inner_tci behind it."""
    tci, vlan, pcp, inner = (v.take(x) for x in ("vlan_tci", "dl_vlan", "dl_vlan_pcp", "inner_tci"))
    if tci is None and (vlan is not None or pcp is not None):
        tci = (pcp or 0) << 13 | (vlan or 0)
    tags = b"".join(struct.pack("!HH", 0x8100, t) for t in (tci, inner) if t is not None)
    return mac(v.take("dl_dst", b.mac)) + mac(v.take("dl_src", a.mac)) + tags + struct.pack("!H", kind) + payload


def packet(kind, a, b, n, v):
    """An IP packet or one fragment of it: its Ethernet type and bytes."""
    v6 = kind.endswith("6")
    name = kind.rstrip("6")
    src = v.take("ipv6_src" if v6 else "nw_src", a.ips[v6])
    dst = v.take("ipv6_dst" if v6 else "nw_dst", b.ips[v6])
    proto = frames.ICMPV6 if kind == "icmp6" else PROTOCOLS[name]
    segment = SEGMENTS.get(name, other)(src, dst, frames.numbered(n, 32), v)
    proto = v.take("nw_proto", proto)
    piece = v.take("ip_frag")
    offset, more = {None: (0, 0), "first": (0, 1), "later": (64, 1), "last": (128, 0)}[piece]
    if offset:
        segment = frames.numbered(n, 40)  # what stands at that place is nobody's header
    elif more:
        segment += bytes(-len(segment) % 8)
    if v6:
        return 0x86DD, ipv6(src, dst, proto, segment, v, piece and (offset, more, n))
    return 0x0800, ipv4(src, dst, proto, segment, v, (offset, more, n) if piece else (0, 2, 0))


def ipv4(src, dst, proto, segment, v, fragment):
    offset, flags, identification = fragment
    head = struct.pack("!BBHHHBBH", 0x45, v.take("nw_tos", 0) | v.take("nw_ecn", 0), 20 + len(segment), identification & 0xFFFF,
                       flags << 13 | offset // 8, v.take("nw_ttl", 64), proto, 0) + ip(src) + ip(dst)
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + segment


def ipv6(src, dst, proto, segment, v, fragment):
    if fragment:
        offset, more, identification = fragment
        segment = struct.pack("!BBHI", proto, 0, offset | more, identification) + segment  # RFC 8200 section 4.5
        proto = 44
    first = 6 << 28 | (v.take("nw_tos", 0) | v.take("nw_ecn", 0)) << 20 | v.take("ipv6_label", 0)
    return struct.pack("!IHBB", first, len(segment), proto, v.take("nw_ttl", 64)) + ip(src) + ip(dst) + segment


def udp(src, dst, payload, v):
    segment = struct.pack("!HHHH", v.take("tp_src", 4000), v.take("tp_dst", 5000), 8 + len(payload), 0) + payload
    return with_checksum(src, dst, frames.UDP, segment, 6)


def tcp(src, dst, payload, v):
    head = struct.pack("!HHIIBBHHH", v.take("tp_src", 4000), v.take("tp_dst", 5000), 1, 1, 5 << 4, frames.PSH | frames.ACK, 0xFFFF, 0, 0)
    return with_checksum(src, dst, frames.TCP, head + payload, 16)


def sctp(_src, _dst, payload, v):
    chunk = struct.pack("!BBHIHHI", 0, 3, 16 + len(payload), 1, 0, 0, 0) + payload  # DATA (RFC 9260 section 3.3.1)
    body = struct.pack("!HHII", v.take("tp_src", 4000), v.take("tp_dst", 5000), 7, 0) + chunk
    return body[:8] + struct.pack("<I", crc32c(body)) + body[12:]


def icmp(src, dst, payload, v):
    kind = v.take("icmp_type", 128 if ":" in src else 8)
    body = struct.pack("!BBHHH", kind, v.take("icmp_code", 0), 0, 7, 1) + payload
    if ":" in src:
        return with_checksum(src, dst, frames.ICMPV6, body, 2)
    return body[:2] + struct.pack("!H", checksum(body)) + body[4:]


def igmp(_src, _dst, payload, _v):
    body = struct.pack("!BBHI", 0x16, 0, 0, 0xE00000FB)
    return body[:2] + struct.pack("!H", checksum(body)) + body[4:] + payload


def other(_src, _dst, payload, _v):
    return payload


SEGMENTS = {"udp": udp, "tcp": tcp, "sctp": sctp, "icmp": icmp, "igmp": igmp}


def neighbour(kind, a, b, n, v):
    """A solicitation sent to b itself, or an advertisement; the option is left out for nd_sll or nd_tll False."""
    src, dst = v.take("ipv6_src", a.ips[1]), v.take("ipv6_dst", b.ips[1])
    which, option, own, target = (135, "nd_sll", 1, b.ips[1]) if kind == "ns" else (136, "nd_tll", 2, a.ips[1])
    link = v.take(option, a.mac)
    body = struct.pack("!BBHI", v.take("icmp_type", which), v.take("icmp_code", 0), 0, 0x60000000 if kind == "na" else 0)
    body += ip(v.take("nd_target", target)) + (struct.pack("!BB", own, 1) + mac(link) if link else b"")
    body = with_checksum(src, dst, frames.ICMPV6, body, 2)
    v.values.setdefault("nw_ttl", 255)
    return 0x86DD, ipv6(src, dst, frames.ICMPV6, body, v, None) + frames.numbered(n)


def address_resolution(kind, a, b, n, v):
    op = v.take("arp_op", 1 if kind == "arp" else 3)
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, op) + mac(v.take("arp_sha", a.mac)) + ip(v.take("arp_spa", a.ips[0]))
    body += mac(v.take("arp_tha", b.mac)) + ip(v.take("arp_tpa", b.ips[0]))
    return (0x0806 if kind == "arp" else 0x8035), body + frames.numbered(n)


def crc32c(data):
    """The checksum of SCTP (RFC 9260 appendix A), bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return ~crc & 0xFFFFFFFF
