package ofsim

import "github.com/flowtap/flowtap/openflow"

// scenario is a random pipeline.
type scenario struct {
	groups []openflow.Group
	flows  []openflow.Flow
}

const (
	genTables = 6
	genPorts  = 6
	genTunnel = 9
	// Meters: genMeters of them, of which genDropping drops everything.
	genMeters   = 2
	genDropping = 2
)

func (g gen) scenario() scenario {
	var s scenario
	nGroups := 6
	for id := 1; id <= nGroups; id++ {
		gr := openflow.Group{ID: openflow.GroupID(id), Type: openflow.GroupType(pick(g, 0, 0, 2, 3))}
		n := 1 + g.IntN(3)
		if gr.Type == openflow.GroupTypeIndirect {
			n = 1
		}
		for range n {
			b := openflow.Bucket{WatchPort: openflow.PortAny, WatchGroup: openflow.GroupAny}
			if gr.Type == openflow.GroupTypeFastFailover {
				b.WatchPort = pick[openflow.PortNo](g, 1, 2, 3, 77)
			}
			var k key
			extract(g.frame(), &k)
			b.Actions = g.actions(2+g.IntN(3), 1+g.IntN(genTables-1), &k, 0)
			gr.Buckets = append(gr.Buckets, b)
		}
		s.groups = append(s.groups, gr)
	}
	cookie := uint64(1)
	for t := range genTables {
		n := 8
		for p := range n {
			var k key
			extract(g.frame(), &k)
			k.put(atInPort, uint64(1+g.IntN(genPorts)))
			f := openflow.Flow{Table: openflow.TableID(t), Priority: uint16(10 + p), Cookie: cookie}
			f.Match = g.match(&k, p == 0)
			f.Apply = g.actions(1+g.IntN(4), t, &k, nGroups)
			if t < genTables-1 && g.chance(40) {
				f.Goto = openflow.TableID(t + 1 + g.IntN(genTables-1-t))
			}
			if g.chance(10) {
				f.Meter = uint32(1 + g.IntN(genMeters))
			}
			s.flows = append(s.flows, f)
			cookie++
		}
		if g.chance(50) {
			s.flows = append(s.flows, openflow.Flow{Table: openflow.TableID(t), Cookie: cookie,
				Apply: []openflow.Action{openflow.Output{Port: openflow.PortController, MaxLen: 60}}})
			cookie++
		}
	}
	return s
}

// frameFields are the fields that a frame with this key has, with what they need in a match.
func frameFields(k *key) (fields []openflow.Field, need map[openflow.Field][]openflow.Field) {
	fields = []openflow.Field{openflow.FieldEthDst, openflow.FieldEthSrc, openflow.FieldEthType, openflow.FieldVLANTCI, openflow.FieldVLANVID}
	if k.get(atTCI) != 0 {
		fields = append(fields, openflow.FieldVLANPCP)
	}
	need = map[openflow.Field][]openflow.Field{openflow.FieldVLANPCP: {openflow.FieldVLANVID}}
	add := func(need1 []openflow.Field, fs ...openflow.Field) {
		for _, f := range fs {
			fields = append(fields, f)
			need[f] = need1
		}
	}
	l3 := []openflow.Field{openflow.FieldEthType}
	l4 := []openflow.Field{openflow.FieldEthType, openflow.FieldIPProto}
	switch k.get(atEthType) {
	case etherARP, etherRARP:
		add(l3, openflow.FieldARPOp, openflow.FieldARPSPA, openflow.FieldARPTPA, openflow.FieldARPSHA, openflow.FieldARPTHA)
	case etherIPv4:
		add(l3, openflow.FieldIPv4Src, openflow.FieldIPv4Dst)
	case etherIPv6:
		add(l3, openflow.FieldIPv6Src, openflow.FieldIPv6Dst, openflow.FieldIPv6Label)
	}
	if t := k.get(atEthType); t == etherIPv4 || t == etherIPv6 {
		add(l3, openflow.FieldIPDSCP, openflow.FieldIPECN, openflow.FieldIPProto, openflow.FieldIPTTL, openflow.FieldIPFrag)
		switch k.get(atProto) {
		case protoTCP:
			add(l4, openflow.FieldTCPSrc, openflow.FieldTCPDst)
		case protoUDP:
			add(l4, openflow.FieldUDPSrc, openflow.FieldUDPDst)
		case protoSCTP:
			add(l4, openflow.FieldSCTPSrc, openflow.FieldSCTPDst)
		case protoICMP:
			if t == etherIPv4 {
				add(l4, openflow.FieldICMPType, openflow.FieldICMPCode)
			}
		case protoICMP6:
			if t != etherIPv6 {
				break
			}
			add(l4, openflow.FieldICMPv6Type, openflow.FieldICMPv6Code)
			nd := append(l4[:2:2], openflow.FieldICMPv6Type, openflow.FieldICMPv6Code)
			switch {
			case k.get(atSport) == 135 && k.get(atDport) == 0:
				add(nd, openflow.FieldNDTarget, openflow.FieldNDSLL)
			case k.get(atSport) == 136 && k.get(atDport) == 0:
				add(nd, openflow.FieldNDTarget, openflow.FieldNDTLL)
			}
		}
	}
	return fields, need
}

// matchField is a field of the key, exact or masked.
func (g gen) matchField(k *key, f openflow.Field, exact bool) openflow.MatchField {
	p, _ := placeOf(f)
	if p.bits == 128 {
		v := be.AppendUint64(be.AppendUint64(nil, k[p.word]), k[p.word+1])
		if exact {
			return openflow.Bytes(f, v)
		}
		mask := make([]byte, 16)
		for i := range mask {
			mask[i] = pick[byte](g, 0, 0xff, 0x0f)
		}
		return openflow.BytesMask(f, v, mask)
	}
	if exact {
		return openflow.Uint(f, k.get(p))
	}
	return openflow.UintMask(f, k.get(p), g.Uint64()|g.Uint64())
}

// match draws a match that a frame with the key has.
func (g gen) match(k *key, broad bool) openflow.Match {
	fields, need := frameFields(k)
	var out []openflow.MatchField
	have := map[openflow.Field]bool{}
	add := func(f openflow.Field, exact bool) {
		if !have[f] {
			have[f] = true
			out = append(out, g.matchField(k, f, exact))
		}
	}
	n := g.IntN(3)
	if broad {
		n = 0
	}
	// Ports of a first fragment, the last of the fields, to see that nothing matches them.
	if last := fields[len(fields)-1]; k.get(atFrag) == fragAny && len(need[last]) > 1 && g.chance(70) {
		for _, p := range need[last] {
			add(p, true)
		}
		add(last, true)
		n = 0
	}
	for range n {
		f := fields[g.IntN(len(fields))]
		if f == openflow.FieldVLANTCI && (have[openflow.FieldVLANVID] || have[openflow.FieldVLANPCP]) ||
			have[openflow.FieldVLANTCI] && (f == openflow.FieldVLANVID || f == openflow.FieldVLANPCP) {
			continue
		}
		for _, p := range need[f] {
			add(p, true)
		}
		maskable := f.Bits() >= 16 && f != openflow.FieldEthType && f != openflow.FieldARPOp || f == openflow.FieldIPFrag
		add(f, !maskable || g.chance(60))
	}
	if g.chance(30) {
		add(openflow.FieldInPort, true)
	}
	for _, f := range []openflow.Field{openflow.FieldReg(0), openflow.FieldReg(1), openflow.FieldReg(15), openflow.FieldMetadata, openflow.FieldPktMark, openflow.FieldTunnelID} {
		if g.chance(6) {
			out = append(out, openflow.UintMask(f, uint64(g.IntN(3)), pick[uint64](g, 1, 3, ^uint64(0))))
		}
	}
	if g.chance(4) {
		// Not tun_src: the tunnel port of the test has no local_ip, that of a Fabric has.
		out = append(out, openflow.Uint(openflow.FieldTunDst, pick[uint64](g, 0xac100001, 0xac100002)))
	}
	m, err := openflow.NewMatch(out...)
	if err != nil {
		panic(err)
	}
	return m
}

// actions draws actions for a flow of a table, or with groups zero for a bucket.
func (g gen) actions(n, table int, k *key, groups int) []openflow.Action {
	var out []openflow.Action
	for range n {
		switch g.IntN(16) {
		case 13:
			if n > 1 {
				out = append(out, openflow.Clone{Actions: g.actions(g.IntN(n), table, k, groups)})
			}
		case 14:
			links := pick[uint32](g, 1, 2, 5, 6) // never the sentinel's port
			out = append(out, openflow.Multipath{Fields: openflow.HashFields(g.IntN(7)), Basis: uint16(g.IntN(3)), Algorithm: openflow.LinkAlgorithm(g.IntN(4)),
				Links: links, Field: openflow.FieldReg(g.IntN(2)), Offset: uint8(pick(g, 0, 0, 8)), Bits: pick[uint8](g, 4, 4, 16)})
		case 0, 1:
			out = append(out, openflow.Output{Port: openflow.PortNo(1 + g.IntN(genPorts))})
		case 2:
			out = append(out, pick[openflow.Action](g, openflow.Output{Port: openflow.PortInPort}, openflow.Output{Port: genTunnel}, openflow.Output{Port: genTunnel}, openflow.Output{Port: 50},
				openflow.Output{Port: openflow.PortController, MaxLen: pick[uint16](g, 0, 20, 0xffff)}))
		case 3:
			out = append(out, openflow.OutputField{Field: openflow.FieldReg(g.IntN(2)), MaxLen: 30})
		case 4:
			out = append(out, openflow.OutputTruncate{Port: pick[openflow.PortNo](g, 1, 2, 3, 4, 5, openflow.PortInPort, openflow.PortTable), MaxLen: pick[uint32](g, 22, 40, 1000)})
		case 5:
			if groups > 0 {
				out = append(out, openflow.ApplyGroup{ID: openflow.GroupID(1 + g.IntN(groups))})
			}
		case 6:
			to := table + 1 + g.IntN(2)
			if to >= genTables {
				to = genTables - 1
				if g.chance(95) {
					continue
				}
			}
			if g.chance(2) {
				to = 255
			}
			out = append(out, openflow.Resubmit{Port: pick[openflow.PortNo](g, openflow.PortInPort, openflow.PortInPort, 3), Table: openflow.TableID(to)})
		case 7:
			if g.chance(60) {
				out = append(out, openflow.PushVLAN{EtherType: pick[uint16](g, 0x8100, 0x88a8)})
			} else {
				out = append(out, openflow.PopVLAN{})
			}
		case 8, 9:
			out = append(out, g.setMeta())
		case 15:
			n := pick[uint8](g, 16, 3)
			out = append(out, pick[openflow.Action](g, openflow.Load{To: g.bits(n), Value: uint64(g.IntN(2))}, openflow.Move{From: g.bits(n), To: g.bits(n)}))
		default:
			fields, _ := frameFields(k)
			switch f := fields[g.IntN(len(fields))]; f {
			case openflow.FieldEthType, openflow.FieldIPProto, openflow.FieldIPFrag: // cannot be set
			default:
				out = append(out, g.setField(f))
			}
		}
	}
	return out
}

func (g gen) bits(n uint8) openflow.Bits {
	if g.chance(20) {
		return openflow.Bits{Field: openflow.FieldInPort, N: n}
	}
	return openflow.Bits{Field: openflow.FieldReg(pick(g, 0, 1, 15)), Offset: uint8(pick(g, 0, 0, 3)), N: n}
}

func (g gen) setMeta() openflow.Action {
	switch g.IntN(9) {
	case 0:
		return openflow.Set(openflow.FieldMetadata, uint64(g.IntN(3)))
	case 1:
		return openflow.Set(openflow.FieldTunnelID, uint64(g.IntN(3)))
	case 2, 7, 8:
		return openflow.Set(openflow.FieldTunDst, 0xac100002+uint64(g.IntN(2)))
	case 3:
		return openflow.Set(openflow.FieldPktMark, pick[uint64](g, 0, 0, 1, 2))
	case 4:
		return openflow.Set(openflow.FieldInPort, pick[uint64](g, 0, 0, 2))
	}
	return openflow.Set(openflow.FieldReg(pick(g, 0, 1, 15)), pick[uint64](g, 0, 1, 2, 5, 0xfff8, 0xfffd, 0x10001))
}

func (g gen) setField(f openflow.Field) openflow.Action {
	var k key
	extract(g.frame(), &k)
	p, _ := placeOf(f)
	if p.bits == 128 {
		a := g.ip6().As16()
		return openflow.SetField{Field: f, Value: a}
	}
	v := k.get(p)
	switch f {
	case openflow.FieldVLANVID:
		v |= tagPresent
	case openflow.FieldARPOp:
		v &= 0xff
	}
	return openflow.Set(f, v)
}
