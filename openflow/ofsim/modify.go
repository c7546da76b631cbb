package ofsim

import "github.com/flowtap/flowtap/openflow"

// set writes a field, unless the frame has no such header.
func (x *exec) set(a openflow.SetField) {
	p, ok := placeOf(a.Field)
	if !ok || !x.cur.key.has(a.Field) {
		x.step(EventUnset, uint64(a.Field))
		return
	}
	k := &x.cur.key
	if p.bits == 128 {
		k[p.word], k[p.word+1] = be.Uint64(a.Value[:]), be.Uint64(a.Value[8:])
		return
	}
	k.put(p, low(&a.Value, a.Field.Size()))
	if a.Field == openflow.FieldVLANTCI || a.Field == openflow.FieldVLANVID {
		if k.get(atTCI) != 0 && x.cur.tpid[0] == 0 { // one set to 0 and back keeps its Ethertype
			x.cur.tpid[0] = etherVLAN
		}
	}
}

// bitsAt finds where bits of a field are.
func bitsAt(b openflow.Bits) place {
	p, _ := placeOf(b.Field)
	return place{p.word, p.shift + b.Offset, b.N}
}

// put writes bits. A port number is one of 16 bits, the reserved ones at their end.
func (x *exec) put(to openflow.Bits, v uint64) {
	x.cur.key.put(bitsAt(to), v)
	if to.Field == openflow.FieldInPort {
		in := x.cur.key.get(atInPort) & 0xffff
		if in >= 0xff00 {
			in |= 0xffff0000
		}
		x.cur.key.put(atInPort, in)
	}
}

// has reports whether a frame has the header that a field is in.
func (k *key) has(f openflow.Field) bool {
	etherType, proto := k.get(atEthType), k.get(atProto)
	v4, v6 := etherType == etherIPv4, etherType == etherIPv6
	transport := func(ip bool, p uint64) bool { return ip && proto == p && k.get(atFrag)&fragLater == 0 }
	switch f {
	case openflow.FieldVLANPCP: // to set vlan_vid, which only a bucket can do without a tag, adds one
		return k.get(atTCI)&tagPresent != 0
	case openflow.FieldIPDSCP, openflow.FieldIPECN, openflow.FieldIPTTL:
		return v4 || v6
	case openflow.FieldIPv4Src, openflow.FieldIPv4Dst:
		return v4
	case openflow.FieldIPv6Src, openflow.FieldIPv6Dst, openflow.FieldIPv6Label:
		return v6
	case openflow.FieldTCPSrc, openflow.FieldTCPDst:
		return transport(v4 || v6, protoTCP)
	case openflow.FieldUDPSrc, openflow.FieldUDPDst:
		return transport(v4 || v6, protoUDP)
	case openflow.FieldSCTPSrc, openflow.FieldSCTPDst:
		return transport(v4 || v6, protoSCTP)
	case openflow.FieldICMPType, openflow.FieldICMPCode:
		return v4 && proto == protoICMP // of later fragments too, where Open vSwitch spoils the payload
	case openflow.FieldICMPv6Type, openflow.FieldICMPv6Code:
		return v6 && proto == protoICMP6
	case openflow.FieldNDTarget, openflow.FieldNDSLL, openflow.FieldNDTLL:
		t := k.get(atSport)
		return transport(v6, protoICMP6) && k.get(atDport) == 0 &&
			(t == 135 && f != openflow.FieldNDTLL || t == 136 && f != openflow.FieldNDSLL)
	case openflow.FieldARPOp, openflow.FieldARPSPA, openflow.FieldARPTPA, openflow.FieldARPSHA, openflow.FieldARPTHA:
		return etherType == etherARP || etherType == etherRARP
	}
	return true
}

// pushVLAN adds an outer tag with vid and priority zero (Open vSwitch, unlike OpenFlow 1.3.5
// §5.12, does not copy them from the tag that is there). It keeps two tags at most.
func (x *exec) pushVLAN(tpid uint16) {
	s := &x.cur
	s.tci1, s.tpid[1] = uint16(s.key.get(atTCI)), s.tpid[0]
	s.tpid[0] = tpid
	s.key.put(atTCI, tagPresent)
}

// popVLAN does nothing to a frame without an outer tag, also where set_field took it from above another.
func (x *exec) popVLAN() {
	s := &x.cur
	switch len(s.tags()) {
	case 1:
		s.key.put(atTCI, 0)
		s.tpid[0] = 0
	case 2:
		s.key.put(atTCI, uint64(s.tci1))
		s.tpid[0] = s.tpid[1]
		s.tci1, s.tpid[1] = 0, 0
	}
}

// tags are the tags of a state, outer first: Ethertype and tag control information, whose bit 12
// is set.
func (s *state) tags() []uint32 {
	tci := uint32(s.key.get(atTCI))
	switch {
	case tci&tagPresent == 0:
		return nil
	case s.tci1&tagPresent == 0:
		return []uint32{uint32(s.tpid[0])<<16 | tci}
	}
	return []uint32{uint32(s.tpid[0])<<16 | tci, uint32(s.tpid[1])<<16 | uint32(s.tci1)}
}
