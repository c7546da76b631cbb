package pipeline

import (
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/topology"
)

// Priorities in guard and address: what is the port's own, what under its own address speaks for
// somebody else, then claims of others, then what is left.
const (
	guardOwn    = 500
	guardForged = 470 // counted: an ARP or ND message that names a foreign sender
	guardSource = 450 // the port's own source address, nothing more to check
	guardClaim  = 400
	guardOther  = 300 // counted: IP or ARP under a foreign address
	guardLearn  = 200
	guardRest   = 100
)

const (
	etherIPv4 = 0x0800
	etherARP  = 0x0806
	etherIPv6 = 0x86dd

	protoUDP    = 17
	protoICMPv6 = 58

	mldReport, routerSolicit, neighborSolicit, neighborAdvert, mldReportV2 = 131, 133, 135, 136, 143
)

// guard passes frames whose source MAC is the port's, and whose ARP and neighbour discovery
// senders are too. A port that declares no MAC is taken at its word for its first maxLearned
// addresses, unless somebody else has declared them (networkClaims).
func (b *builder) guard(p *Port, here openflow.PortNo) {
	add := func(priority uint16, kind Kind, next openflow.TableID, actions []openflow.Action, fields ...openflow.MatchField) {
		b.flow(openflow.Flow{Table: TableGuard, Priority: priority, Cookie: Cookie(kind, p.Num),
			Match: match(append(fields, inPort(here))...), Apply: actions, Goto: next})
	}
	own := func(fields ...openflow.MatchField) { add(guardOwn, KindAllow, TableAddress, nil, fields...) }
	for _, m := range b.w.addresses(p) {
		src := mac(openflow.FieldEthSrc, m)
		own(src, ethType(etherARP), mac(openflow.FieldARPSHA, m))
		add(guardForged, KindSpoof, 0, nil, src, ethType(etherARP))
		for t, option := range map[uint64]openflow.Field{neighborSolicit: openflow.FieldNDSLL, neighborAdvert: openflow.FieldNDTLL} {
			for _, named := range []topology.MAC{m, {}} { // the option may be left out
				own(append(icmpv6(t), src, mac(option, named))...)
			}
			add(guardForged, KindSpoof, 0, nil, append(icmpv6(t), src)...)
		}
		add(guardSource, KindAllow, TableAddress, nil, src)
	}
	if p.MAC.IsZero() && len(p.Status.LearnedMACs) < maxLearned {
		add(guardLearn, KindLearn, TableAddress, b.tell(p, here))
	}
	add(guardRest, KindSpoof, 0, nil)
}

func ipProto(n uint64) openflow.MatchField { return openflow.Uint(openflow.FieldIPProto, n) }

func icmpv6(t uint64) []openflow.MatchField {
	return []openflow.MatchField{ethType(etherIPv6), ipProto(protoICMPv6), openflow.Uint(openflow.FieldICMPv6Type, t)}
}
