"""Ethernet frames, byte for byte, and what they say."""

import ipaddress
import struct

BROADCAST = "ff:ff:ff:ff:ff:ff"
NO_MAC = "00:00:00:00:00:00"
FULL = 1514  # a full-size frame at MTU 1500, without the frame check sequence

ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
SYN, RST, PSH, ACK = 0x02, 0x04, 0x08, 0x10

_MARK = b"FlowTap#"  # 8 bytes, followed by a number of 4 bytes, wherever a frame has a payload


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def ip(text):
    return ipaddress.ip_address(text).packed


def checksum(data):
    """The internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def numbered(n, size=24):
    """A payload that carries the number n; size bytes long, at least 12."""
    head = _MARK + struct.pack("!I", n)
    return head + bytes(i & 0xFF for i in range(len(head), size))


def number(frame):
    """The number in a frame's payload, or None."""
    at = frame.find(_MARK)
    if at < 0 or len(frame) < at + 12:
        return None
    return struct.unpack_from("!I", frame, at + 8)[0]


# Builders. Addresses are text; each returns a whole frame.


def ethernet(src, dst, ethertype, payload, vlan=None, pcp=0):
    """An Ethernet II frame, with an 802.1Q tag if vlan is given."""
    tag = b"" if vlan is None else struct.pack("!HH", 0x8100, pcp << 13 | vlan)
    return mac(dst) + mac(src) + tag + struct.pack("!H", ethertype) + payload


def arp(src_mac, src_ip, dst_ip, op=1, dst_mac=NO_MAC, eth_src=None, eth_dst=None):
    """An ARP request (op 1, to everyone) or reply (op 2, to dst_mac)."""
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, op) + mac(src_mac) + ip(src_ip) + mac(dst_mac) + ip(dst_ip)
    to = eth_dst or (BROADCAST if op == 1 else dst_mac)
    return ethernet(eth_src or src_mac, to, 0x0806, body)


def ip_packet(src, dst, proto, payload, ttl=64, tos=0):
    """An IPv4 or IPv6 packet, by the kind of src."""
    if ":" in src:
        return struct.pack("!IHBB", 6 << 28 | tos << 20, len(payload), proto, ttl) + ip(src) + ip(dst) + payload
    head = struct.pack("!BBHHHBBH", 0x45, tos, 20 + len(payload), 0, 0x4000, ttl, proto, 0) + ip(src) + ip(dst)
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def fragment(src_mac, dst_mac, src, dst, proto, data, offset, more, identification=1, **ethernet_options):
    """One IPv4 or IPv6 fragment: data at offset (bytes, a multiple of 8) of a packet's payload; more of it follows."""
    if ":" in src:
        head = struct.pack("!BBHI", proto, 0, offset | more, identification)  # RFC 8200 section 4.5
        return ethernet(src_mac, dst_mac, 0x86DD, ip_packet(src, dst, 44, head + data), **ethernet_options)
    packet = ip_packet(src, dst, proto, data)
    head = packet[:4] + struct.pack("!HH", identification, more << 13 | offset // 8) + packet[8:10] + b"\0\0" + packet[12:20]
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return ethernet(src_mac, dst_mac, 0x0800, head + data, **ethernet_options)


def with_checksum(src, dst, proto, segment, at):
    """The segment with the checksum over its pseudo header filled in at offset at."""
    if ":" in src:
        pseudo = ip(src) + ip(dst) + struct.pack("!II", len(segment), proto)
    else:
        pseudo = ip(src) + ip(dst) + struct.pack("!HH", proto, len(segment))
    total = checksum(pseudo + segment)
    if proto == UDP and total == 0:
        total = 0xFFFF  # zero means none (RFC 768)
    return segment[:at] + struct.pack("!H", total) + segment[at + 2:]


def ethertype_of(address):
    return 0x86DD if ":" in address else 0x0800


def udp(src_mac, dst_mac, src, dst, sport, dport, payload, **ethernet_options):
    segment = struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload
    packet = ip_packet(src, dst, UDP, with_checksum(src, dst, UDP, segment, 6))
    return ethernet(src_mac, dst_mac, ethertype_of(src), packet, **ethernet_options)


def tcp(src_mac, dst_mac, src, dst, sport, dport, payload=b"", flags=ACK, seq=1, ack=1, **ethernet_options):
    segment = struct.pack("!HHIIBBHHH", sport, dport, seq, ack, 5 << 4, flags, 0xFFFF, 0, 0) + payload
    packet = ip_packet(src, dst, TCP, with_checksum(src, dst, TCP, segment, 16))
    return ethernet(src_mac, dst_mac, ethertype_of(src), packet, **ethernet_options)


def ping(src_mac, dst_mac, src, dst, payload, reply=False):
    """An echo request or reply, ICMP or ICMPv6."""
    if ":" in src:
        body = with_checksum(src, dst, ICMPV6, struct.pack("!BBHHH", 129 if reply else 128, 0, 0, 7, 1) + payload, 2)
        return ethernet(src_mac, dst_mac, 0x86DD, ip_packet(src, dst, ICMPV6, body))
    body = struct.pack("!BBHHH", 0 if reply else 8, 0, 0, 7, 1) + payload
    body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
    return ethernet(src_mac, dst_mac, 0x0800, ip_packet(src, dst, ICMP, body))


def neighbour_solicitation(src_mac, src, target, sll=None):
    """Who has target (RFC 4861)? With the source link-layer address option (default src_mac)."""
    group = "ff02::1:ff" + ipaddress.ip_address(target).exploded[-7:]
    body = struct.pack("!BBHI", 135, 0, 0, 0) + ip(target) + struct.pack("!BB", 1, 1) + mac(sll or src_mac)
    return _neighbour(src_mac, multicast_mac(group), src, group, body)


def neighbour_advertisement(src_mac, dst_mac, src, dst, target, tll=None):
    """target is at tll (default src_mac): solicited, override (RFC 4861)."""
    body = struct.pack("!BBHI", 136, 0, 0, 0x60000000) + ip(target) + struct.pack("!BB", 2, 1) + mac(tll or src_mac)
    return _neighbour(src_mac, dst_mac, src, dst, body)


def _neighbour(src_mac, dst_mac, src, dst, body):
    packet = ip_packet(src, dst, ICMPV6, with_checksum(src, dst, ICMPV6, body, 2), ttl=255)
    return ethernet(src_mac, dst_mac, 0x86DD, packet)


def multicast_mac(group):
    """The MAC of an IPv4 (RFC 1112) or IPv6 (RFC 2464) multicast group."""
    packed = ip(group)
    if ":" in group:
        return "33:33:" + packed[12:].hex(":")
    return "01:00:5e:" + bytes([packed[1] & 0x7F, packed[2], packed[3]]).hex(":")


def link_local(address):
    """The link-local IPv6 address that a MAC gives (RFC 4291 appendix A)."""
    b = bytearray(mac(address))
    b[0] ^= 2
    return str(ipaddress.IPv6Address(bytes.fromhex("fe80000000000000") + bytes(b[:3]) + b"\xff\xfe" + bytes(b[3:])))


def fill(build, size=FULL, n=0):
    """build(payload) with a numbered payload that makes the frame exactly size bytes long."""
    overhead = len(build(numbered(n))) - len(numbered(n))
    return build(numbered(n, size - overhead))


# Reading


def describe(frame):
    """One line on a frame for a failed check."""
    if len(frame) < 14:
        return f"{len(frame)} bytes: {frame.hex()}"
    dst, src = frame[0:6].hex(":"), frame[6:12].hex(":")
    kind, at, text = struct.unpack_from("!H", frame, 12)[0], 14, f"{src} > {dst}"
    if kind == 0x8100 and len(frame) >= 18:
        tci, kind = struct.unpack_from("!HH", frame, 14)
        at, text = 18, text + f" vlan {tci & 0xFFF}"
    if kind == 0x0806 and len(frame) >= at + 28:
        op, sender, target = frame[at + 7], frame[at + 14:at + 18], frame[at + 24:at + 28]
        text += f" ARP {'?' if op == 1 else '!'} {ipaddress.ip_address(sender)} > {ipaddress.ip_address(target)}"
    elif kind == 0x0800 and len(frame) >= at + 20:
        text += _describe_ip(frame, at + 20, frame[at + 9], frame[at + 12:at + 16], frame[at + 16:at + 20])
    elif kind == 0x86DD and len(frame) >= at + 40:
        text += _describe_ip(frame, at + 40, frame[at + 6], frame[at + 8:at + 24], frame[at + 24:at + 40])
    else:
        text += f" type {kind:#06x}"
    n = number(frame)
    return f"{text}, {len(frame)} bytes" + ("" if n is None else f", number {n}")


def _describe_ip(frame, at, proto, src, dst):
    name = {ICMP: "ICMP", TCP: "TCP", UDP: "UDP", ICMPV6: "ICMPv6"}.get(proto, f"protocol {proto}")
    src, dst = ipaddress.ip_address(src), ipaddress.ip_address(dst)
    if proto in (TCP, UDP) and len(frame) >= at + 4:
        sport, dport = struct.unpack_from("!HH", frame, at)
        return f" {name} {src} {sport} > {dst} {dport}"
    if proto in (ICMP, ICMPV6) and len(frame) > at:
        name += f" type {frame[at]}"
    return f" {name} {src} > {dst}"


def is_tcp(frame, port=None):
    """Whether a frame is untagged TCP, of either IP, from or to port where one is given."""
    kind = struct.unpack_from("!H", frame, 12)[0] if len(frame) >= 14 else 0
    if kind == 0x0800 and len(frame) >= 38:
        proto, at = frame[23], 14 + (frame[14] & 15) * 4
    elif kind == 0x86DD and len(frame) >= 58:
        proto, at = frame[20], 54
    else:
        return False
    return proto == TCP and (port is None or port in struct.unpack_from("!HH", frame, at))


