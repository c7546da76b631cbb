package trace

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/openflow/ofsim"
	"github.com/flowtap/flowtap/topology"
)

// An Endpoint is a port with the addresses that are its own, declared or learned.
type Endpoint struct {
	ID   string
	MACs []topology.MAC
	IPs  []netip.Addr
}

// Surroundings are what a frame's description may leave open: its sender, the other members of the
// network, and of these the gateway, nil where there is none.
type Surroundings struct {
	Sender  Endpoint
	Others  []Endpoint
	Gateway *Endpoint
}

// Ethertypes and protocols of frames that Build knows how to make.
const (
	typeIPv4 = 0x0800
	typeARP  = 0x0806
	typeRARP = 0x8035
	typeIPv6 = 0x86dd

	protoICMP     = 1
	protoTCP      = 6
	protoUDP      = 17
	protoFragment = 44
	protoICMPv6   = 58
	protoSCTP     = 132
)

// What goes into a frame whose description says nothing of it.
const (
	someSrcPort = 40000
	webPort     = 80
	dnsPort     = 53
	flagSYN     = 2
	echo4       = 8
	echo6       = 128
	solicit     = 135
	advert      = 136
	laterOffset = 185 // of a later fragment, in units of 8 bytes
)

var (
	elsewhere4 = netip.MustParseAddr("192.0.2.1")   // for documentation (RFC 5737)
	elsewhere6 = netip.MustParseAddr("2001:db8::1") // RFC 3849
	allHosts4  = netip.MustParseAddr("255.255.255.255")
	allNodes6  = netip.MustParseAddr("ff02::1")
	broadcast  = topology.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
)

func bad(format string, args ...any) error {
	return &topology.FieldError{Field: "frame", Detail: fmt.Sprintf(format, args...)}
}

// Build makes a frame that has the flow m, and spells all of it as ovs-ofctl does. Of a field with a mask or a range it takes the first value;
// what m leaves open is the sender's own or something usual, and the destination's MAC is that of the
// port which has the destination's IP. Errors are *topology.FieldError, of the field "frame".
func Build(m flowtap.Match, s Surroundings) (frame []byte, spelled string, err error) {
	v, err := choose(m, s)
	if err != nil {
		return nil, "", err
	}
	b := &build{v: v, s: s}
	var ok bool
	if b.f.Src, ok = v.mac(openflow.FieldEthSrc); !ok {
		if len(s.Sender.MACs) == 0 {
			return nil, "", bad("no MAC of port %s is known: give dl_src", s.Sender.ID)
		}
		b.f.Src = s.Sender.MACs[0]
	}
	tci, _ := v.num(openflow.FieldVLANVID)
	pcp, _ := v.num(openflow.FieldVLANPCP)
	b.f.Tagged, b.f.Tag = tci&0x1000 != 0, uint16(tci&0xfff|pcp<<13)
	typ, ok := v.num(openflow.FieldEthType)
	if !ok {
		if typ = typeIPv4; b.family() == typeIPv6 {
			typ = typeIPv6
		}
	}
	b.f.EtherType = uint16(typ)
	switch typ {
	case typeIPv4, typeIPv6:
		err = b.ip(typ == typeIPv6)
	case typeARP, typeRARP:
		b.arp()
	default:
		if b.f.Dst, ok = v.mac(openflow.FieldEthDst); !ok {
			err = bad("where the frame goes is not said: give dl_dst")
		}
		b.f.Payload = make([]byte, 46)
	}
	if err != nil {
		return nil, "", err
	}
	return b.f.Bytes(), b.spelled(), nil
}

// spelled is the frame as a match.
func (b *build) spelled() string {
	m := append(openflow.Match{openflow.Bytes(openflow.FieldEthSrc, b.f.Src[:]), openflow.Bytes(openflow.FieldEthDst, b.f.Dst[:]),
		openflow.Uint(openflow.FieldEthType, uint64(b.f.EtherType))}, b.fields...)
	if b.f.Tagged {
		m = append(m, openflow.Uint(openflow.FieldVLANVID, uint64(b.f.Tag&0xfff|0x1000)), openflow.Uint(openflow.FieldVLANPCP, uint64(b.f.Tag>>13)))
	}
	whole, err := openflow.NewMatch(m...)
	if err != nil {
		panic(err) // each field is added once
	}
	same, err := flowtap.ParseMatch(whole.String())
	if err != nil {
		return whole.String() // of odd frames, such as ones that claim to be ICMPv6 over IPv4
	}
	w, _ := flowtap.Intersect(same, same)
	return w.String()
}

// add notes a field of the frame.
func (b *build) add(f openflow.Field, v uint64) {
	b.fields = append(b.fields, openflow.Uint(f, v))
}

func (b *build) addBytes(f openflow.Field, v []byte) {
	b.fields = append(b.fields, openflow.Bytes(f, v))
}

type build struct {
	v values
	s Surroundings
	f ofsim.Frame
	// fields are those of the frame behind its Ethernet header.
	fields openflow.Match
}

// family is that of the sender's addresses: IPv6 where it has no others.
func (b *build) family() uint64 { return family(b.s.Sender) }

func family(e Endpoint) uint64 {
	if len(e.IPs) > 0 && !slices.ContainsFunc(e.IPs, netip.Addr.Is4) {
		return typeIPv6
	}
	return typeIPv4
}

// choose gives the values of one of the cubes that a flow consists of: of several families that of the
// sender's addresses.
func choose(m flowtap.Match, s Surroundings) (values, error) {
	cubes := m.Cubes()
	if len(cubes) == 0 {
		return nil, bad("no frame is so")
	}
	c := cubes[0]
	for _, other := range cubes {
		if typ, ok := valuesOf(other).num(openflow.FieldEthType); ok && typ == family(s.Sender) {
			c = other
			break
		}
	}
	switch {
	case c.InPort != "" && c.InPort != s.Sender.ID:
		return nil, bad("in_port is %s, but the frame enters by port %s", c.InPort, s.Sender.ID)
	case c.Table != "":
		return nil, bad("table is no field of a frame")
	}
	for _, f := range c.Fields {
		if f.Field == openflow.FieldTunnelID || f.Field == openflow.FieldTunSrc || f.Field == openflow.FieldTunDst || f.Field == openflow.FieldMetadata ||
			f.Field >= openflow.FieldReg(0) && f.Field <= openflow.FieldReg(15) {
			return nil, bad("%s is nothing that a frame brings along: leave it out", openflow.Match{f})
		}
	}
	return valuesOf(c), nil
}

// ip fills in an IP packet.
func (b *build) ip(six bool) error {
	src, dst, own := openflow.FieldIPv4Src, openflow.FieldIPv4Dst, elsewhere4
	if six {
		src, dst, own = openflow.FieldIPv6Src, openflow.FieldIPv6Dst, elsewhere6
	}
	if ip := ofFamily(b.s.Sender.IPs, six); ip.IsValid() {
		own = ip
	}
	var ok bool
	if b.f.IPSrc, ok = b.v.ip(src); !ok {
		b.f.IPSrc = own
	}
	b.f.IPDst, _ = b.v.ip(dst)
	if err := b.destination(six); err != nil {
		return err
	}
	b.addBytes(src, b.f.IPSrc.AsSlice())
	b.addBytes(dst, b.f.IPDst.AsSlice())
	dscp, _ := b.v.num(openflow.FieldIPDSCP)
	ecn, _ := b.v.num(openflow.FieldIPECN)
	label, _ := b.v.num(openflow.FieldIPv6Label)
	b.f.TOS, b.f.Label = uint8(dscp<<2|ecn), uint32(label)
	for f, v := range map[openflow.Field]uint64{openflow.FieldIPDSCP: dscp, openflow.FieldIPECN: ecn, openflow.FieldIPv6Label: label} {
		if v != 0 {
			b.add(f, v)
		}
	}
	frag, _ := b.v.num(openflow.FieldIPFrag)
	if frag != 0 {
		b.add(openflow.FieldIPFrag, frag)
	}
	if err := b.transport(six, frag&2 != 0); err != nil {
		return err
	}
	switch {
	case frag&2 != 0:
		b.f.Fragment, b.f.Payload = laterOffset, make([]byte, 64)
	case frag&1 != 0:
		b.f.More = true
		b.f.Payload = append(b.f.Payload, make([]byte, -len(b.f.Payload)&7)...)
	}
	if ttl, ok := b.v.num(openflow.FieldIPTTL); ok {
		b.f.TTL = uint8(ttl)
		if ttl == 0 {
			return bad("nw_ttl 0 is not sent")
		}
		b.add(openflow.FieldIPTTL, ttl)
	}
	return nil
}

// destination settles where a packet goes: by its IP, by its MAC, or out through the gateway.
func (b *build) destination(six bool) error {
	var macKnown bool
	b.f.Dst, macKnown = b.v.mac(openflow.FieldEthDst)
	everybody, abroad := allHosts4, elsewhere4
	if six {
		everybody, abroad = allNodes6, elsewhere6
	}
	switch ip := b.f.IPDst; {
	case ip.IsValid() && macKnown:
	case ip.IsValid():
		mac, ok := b.macOf(ip)
		if !ok {
			return bad("no port of the network is known to have %v, and there is no gateway: give dl_dst", ip)
		}
		b.f.Dst = mac
	case macKnown && b.f.Dst[0]&1 != 0:
		b.f.IPDst = everybody
	case macKnown:
		b.f.IPDst = abroad
		for _, o := range b.s.Others {
			if ip := ofFamily(o.IPs, six); ip.IsValid() && slices.Contains(o.MACs, b.f.Dst) {
				b.f.IPDst = ip
			}
		}
	case b.s.Gateway != nil && len(b.s.Gateway.MACs) > 0:
		b.f.Dst, b.f.IPDst = b.s.Gateway.MACs[0], abroad
	default:
		return bad("where the frame goes is not said: give nw_dst, ipv6_dst or dl_dst")
	}
	return nil
}

// macOf finds the address that a frame to an IP goes to.
func (b *build) macOf(ip netip.Addr) (topology.MAC, bool) {
	raw := ip.AsSlice()
	switch {
	case ip == allHosts4:
		return broadcast, true
	case ip.IsMulticast() && ip.Is4(): // RFC 1112 §6.4
		return topology.MAC{1, 0, 0x5e, raw[1] & 0x7f, raw[2], raw[3]}, true
	case ip.IsMulticast(): // RFC 2464 §7
		return topology.MAC{0x33, 0x33, raw[12], raw[13], raw[14], raw[15]}, true
	}
	for _, o := range append(b.s.Others, b.s.Sender) {
		if slices.Contains(o.IPs, ip) && len(o.MACs) > 0 {
			return o.MACs[0], true
		}
	}
	if g := b.s.Gateway; g != nil && len(g.MACs) > 0 {
		return g.MACs[0], true
	}
	return topology.MAC{}, false
}

// transport fills in what an IP packet carries; later fragments show no ports.
func (b *build) transport(six, later bool) error {
	if six && later {
		// The fragment header stands for the protocol behind it (ovs-fields(7), "IPv6 fragments").
		if proto, ok := b.v.num(openflow.FieldIPProto); ok && proto != protoFragment {
			return bad("of a later fragment of IPv6 nobody sees the protocol: leave out nw_proto")
		}
		b.add(openflow.FieldIPProto, protoFragment)
		b.f.Proto = protoUDP
		return nil
	}
	or := func(f openflow.Field, def uint16) uint16 {
		v, ok := b.v.num(f)
		if !ok {
			v = uint64(def)
		}
		if f == openflow.FieldIPProto || !later {
			b.add(f, v)
		}
		return uint16(v)
	}
	icmp, ping := uint16(protoICMP), uint16(echo4)
	if six {
		icmp, ping = protoICMPv6, echo6
	}
	b.f.Proto = uint8(or(openflow.FieldIPProto, icmp))
	switch {
	case b.f.Proto == protoTCP:
		b.f.Payload = ofsim.TCP(or(openflow.FieldTCPSrc, someSrcPort), or(openflow.FieldTCPDst, webPort), flagSYN, nil)
	case b.f.Proto == protoUDP:
		b.f.Payload = ofsim.UDP(or(openflow.FieldUDPSrc, someSrcPort), or(openflow.FieldUDPDst, dnsPort), make([]byte, 24))
	case b.f.Proto == protoSCTP:
		b.f.Payload = ofsim.SCTP(or(openflow.FieldSCTPSrc, someSrcPort), or(openflow.FieldSCTPDst, webPort), make([]byte, 20))
	case b.f.Proto == protoICMP && !six:
		b.f.Payload = ofsim.ICMP(uint8(or(openflow.FieldICMPType, ping)), uint8(or(openflow.FieldICMPCode, 0)), make([]byte, 28))
	case b.f.Proto == protoICMPv6 && six:
		b.icmp6(uint8(or(openflow.FieldICMPv6Type, ping)), uint8(or(openflow.FieldICMPv6Code, 0)))
	default:
		b.f.Payload = make([]byte, 32)
	}
	return nil
}

// icmp6 fills in an ICMPv6 message, with what neighbour discovery has (RFC 4861 §4.3, §4.4).
func (b *build) icmp6(typ, code uint8) {
	if code != 0 || typ != solicit && typ != advert {
		b.f.Payload = ofsim.ICMP(typ, code, make([]byte, 28))
		return
	}
	field, option := openflow.FieldNDSLL, uint8(1)
	if typ == advert {
		field, option = openflow.FieldNDTLL, 2
	}
	mac, ok := b.v.mac(field)
	if !ok {
		mac = b.f.Src
	}
	target, ok := b.v.ip(openflow.FieldNDTarget)
	if !ok {
		if target = b.f.IPDst; typ == advert {
			target = b.f.IPSrc
		}
	}
	b.addBytes(openflow.FieldNDTarget, target.AsSlice())
	b.addBytes(field, mac[:])
	b.f.Payload = ofsim.ND(typ, target, option, mac)
	b.f.TTL = 255
}

// arp fills in an ARP packet: a request of the sender's, to all, where nothing else is said.
func (b *build) arp() {
	op, ok := b.v.num(openflow.FieldARPOp)
	if !ok {
		op = 1
	}
	sha, ok := b.v.mac(openflow.FieldARPSHA)
	if !ok {
		sha = b.f.Src
	}
	spa, ok := b.v.ip(openflow.FieldARPSPA)
	if !ok {
		if spa = ofFamily(b.s.Sender.IPs, false); !spa.IsValid() {
			spa = elsewhere4
		}
	}
	tpa, ok := b.v.ip(openflow.FieldARPTPA)
	for _, o := range b.s.Others {
		if ip := ofFamily(o.IPs, false); !ok && ip.IsValid() {
			tpa, ok = ip, true
		}
	}
	if !ok {
		tpa = elsewhere4
	}
	tha, _ := b.v.mac(openflow.FieldARPTHA)
	if b.f.Dst, ok = b.v.mac(openflow.FieldEthDst); !ok {
		b.f.Dst = broadcast
		if mac, known := b.macOf(tpa); op != 1 && known {
			b.f.Dst = mac
		}
	}
	b.add(openflow.FieldARPOp, op)
	b.addBytes(openflow.FieldARPSHA, sha[:])
	b.addBytes(openflow.FieldARPTHA, tha[:])
	b.addBytes(openflow.FieldARPSPA, spa.AsSlice())
	b.addBytes(openflow.FieldARPTPA, tpa.AsSlice())
	b.f.Payload = append(ofsim.ARP(uint16(op), sha, spa, tha, tpa), make([]byte, 18)...)
}

func ofFamily(ips []netip.Addr, six bool) netip.Addr {
	for _, ip := range ips {
		if ip.Is6() == six {
			return ip
		}
	}
	return netip.Addr{}
}

// values are the fields of a cube, each with the first value that it may have.
type values map[openflow.Field]openflow.MatchField

func valuesOf(c flowtap.Cube) values {
	v := values{}
	for _, f := range c.Fields {
		v[f.Field] = f
	}
	return v
}

func (v values) num(f openflow.Field) (uint64, bool) {
	m, ok := v[f]
	var b [8]byte
	copy(b[8-f.Size():], m.Value[:f.Size()])
	return binary.BigEndian.Uint64(b[:]), ok
}

func (v values) mac(f openflow.Field) (mac topology.MAC, ok bool) {
	m, ok := v[f]
	copy(mac[:], m.Value[:])
	return mac, ok
}

func (v values) ip(f openflow.Field) (netip.Addr, bool) {
	m, ok := v[f]
	if !ok {
		return netip.Addr{}, false
	}
	ip, ok := netip.AddrFromSlice(m.Value[:f.Size()])
	return ip, ok
}
