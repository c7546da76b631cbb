package pipeline

import (
	"net/netip"

	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/topology"
)

var (
	linkLocal   = netip.MustParsePrefix("fe80::/10")
	unspecified = netip.IPv6Unspecified()
	anyIPv4     = netip.IPv4Unspecified()
)

// address passes frames whose source IP is the port's, and whose ARP and neighbour discovery
// senders are too. Besides: a DHCP client speaks from 0.0.0.0; duplicate address detection,
// router solicitation and multicast listener reports come from ::. Protocols other than IP and
// ARP have no address to check. A port that declares no IPs is learned from instead.
func (b *builder) address(p *Port, here openflow.PortNo) {
	a := addresser{builder: b, p: p, at: here, here: inPort(here)}
	a.actions, a.next = b.pass(p, here)
	if len(p.IPs) == 0 {
		a.learn()
		return
	}
	a.ipv4()
	a.ipv6()
	for _, t := range []uint16{etherIPv4, etherARP, etherIPv6} {
		a.drop(guardOther, ethType(t))
	}
	a.allow(guardRest)
}

// An addresser writes one port's flows in the address table.
type addresser struct {
	*builder
	p       *Port
	at      openflow.PortNo
	here    openflow.MatchField
	actions []openflow.Action
	next    openflow.TableID
}

func (a *addresser) allow(priority uint16, fields ...openflow.MatchField) {
	a.flow(openflow.Flow{Table: TableAddress, Priority: priority, Cookie: Cookie(KindAllow, a.p.Num),
		Match: match(append(fields, a.here)...), Apply: a.actions, Goto: a.next})
}

func (a *addresser) drop(priority uint16, fields ...openflow.MatchField) {
	a.flow(openflow.Flow{Table: TableAddress, Priority: priority, Cookie: Cookie(KindSpoof, a.p.Num),
		Match: match(append(fields, a.here)...)})
}

func (a *addresser) ipv4() {
	for _, ip := range a.p.IPs {
		if ip.Is4() {
			a.allow(guardOwn, ethType(etherIPv4), addr(openflow.FieldIPv4Src, ip))
			a.allow(guardOwn, ethType(etherARP), addr(openflow.FieldARPSPA, ip))
		}
	}
	a.allow(guardOwn, ethType(etherARP), addr(openflow.FieldARPSPA, anyIPv4))
	a.allow(guardOwn, ethType(etherIPv4), addr(openflow.FieldIPv4Src, anyIPv4), ipProto(protoUDP),
		openflow.Uint(openflow.FieldUDPSrc, 68), openflow.Uint(openflow.FieldUDPDst, 67))
}

// ipv6 holds a port to the IPv6 addresses it declares and the link-local one that follows from
// its MAC. A port that declares none may use any link-local address: systems make them up.
func (a *addresser) ipv6() {
	var own []netip.Prefix
	for _, ip := range a.p.IPs {
		if ip.Is6() {
			own = append(own, netip.PrefixFrom(ip, 128))
		}
	}
	switch {
	case len(own) == 0:
		own = []netip.Prefix{linkLocal}
	case !a.p.MAC.IsZero():
		if ll := netip.PrefixFrom(linkLocalOf(a.p.MAC), 128); !contains(own, ll) {
			own = append(own, ll)
		}
	}
	for _, src := range own {
		a.allow(guardSource, ethType(etherIPv6), prefix(openflow.FieldIPv6Src, src))
		for _, target := range own {
			a.allow(guardOwn, append(icmpv6(neighborAdvert), prefix(openflow.FieldIPv6Src, src), prefix(openflow.FieldNDTarget, target))...)
		}
	}
	a.drop(guardForged, icmpv6(neighborAdvert)...)
	none := addr(openflow.FieldIPv6Src, unspecified)
	for _, target := range own {
		a.allow(guardOwn, append(icmpv6(neighborSolicit), none, prefix(openflow.FieldNDTarget, target))...)
	}
	for _, t := range []uint64{mldReport, routerSolicit, mldReportV2} {
		a.allow(guardOwn, append(icmpv6(t), none)...)
	}
}

// learn passes what is not somebody else's (networkClaims), and tells the controller of senders it
// does not know yet. A neighbour advertisement has two addresses that must both be in order, so
// its target has a table of its own.
func (a *addresser) learn() {
	advert := icmpv6(neighborAdvert)
	add := func(f openflow.Flow, kind Kind, fields ...openflow.MatchField) {
		f.Cookie, f.Match = Cookie(kind, a.p.Num), match(append(fields, a.here)...)
		a.flow(f)
	}
	toTarget := func(priority uint16, fields ...openflow.MatchField) {
		add(openflow.Flow{Table: TableAddress, Priority: priority, Goto: TableTarget}, KindAllow, append(fields, advert...)...)
	}
	target := func(priority uint16, kind Kind, fields ...openflow.MatchField) {
		f := openflow.Flow{Table: TableTarget, Priority: priority, Apply: a.actions, Goto: a.next}
		if kind == KindLearn {
			f.Apply = a.tell(a.p, a.at)
		}
		add(f, kind, fields...)
	}
	more := len(a.p.Status.LearnedIPs) < maxLearned
	for _, ip := range append([]netip.Addr{anyIPv4}, a.w.ips(a.p)...) {
		for _, fields := range sourceOf(ip) {
			a.allow(guardOwn, fields...)
		}
		if ip.Is6() {
			toTarget(guardOwn+1, addr(openflow.FieldIPv6Src, ip))
			target(guardOwn, KindAllow, targetOf(ip)...)
		}
	}
	toTarget(guardLearn)
	if more {
		add(openflow.Flow{Table: TableAddress, Priority: guardLearn, Apply: a.tell(a.p, a.at), Goto: a.next}, KindLearn, ethType(etherARP))
		target(guardRest, KindLearn)
	} else {
		target(guardRest, KindAllow)
	}
	a.allow(guardRest)
}

// networkClaims protects what the members of a network declare from those of its ports here
// that declare nothing, and so could claim anything.
func (b *builder) networkClaims(network string, label uint32) {
	var open uint32
	for _, p := range b.w.members[network] {
		if b.w.attachment(p, b.n.ID) != 0 && guarded(p) {
			open |= claims(p)
		}
	}
	claim := func(table openflow.TableID, bit uint32, p *Port, fields ...openflow.MatchField) {
		b.flow(openflow.Flow{Table: table, Priority: guardClaim, Cookie: Cookie(KindClaim, p.Num),
			Match: match(append(fields, reg(RegNetwork, label), openflow.UintMask(RegClaims, uint64(bit), uint64(bit)))...)})
	}
	for _, p := range b.w.members[network] {
		if open&claimsMAC != 0 {
			for _, m := range b.w.addresses(p) {
				claim(TableGuard, claimsMAC, p, mac(openflow.FieldEthSrc, m))
			}
		}
		if open&claimsIP != 0 {
			for _, ip := range b.w.ips(p) {
				for _, fields := range sourceOf(ip) {
					claim(TableAddress, claimsIP, p, fields...)
				}
				if ip.Is6() {
					claim(TableTarget, claimsIP, p, targetOf(ip)...)
				}
			}
		}
	}
}

// sourceOf gives the ways in which a frame says that it comes from an IP address.
func sourceOf(ip netip.Addr) [][]openflow.MatchField {
	if ip.Is4() {
		return [][]openflow.MatchField{
			{ethType(etherIPv4), addr(openflow.FieldIPv4Src, ip)},
			{ethType(etherARP), addr(openflow.FieldARPSPA, ip)},
		}
	}
	return [][]openflow.MatchField{{ethType(etherIPv6), addr(openflow.FieldIPv6Src, ip)}}
}

// targetOf gives the fields of an advertisement of an IPv6 address.
func targetOf(ip netip.Addr) []openflow.MatchField {
	return append(icmpv6(neighborAdvert), addr(openflow.FieldNDTarget, ip))
}

// linkLocalOf gives the modified EUI-64 link-local address of a MAC (RFC 4291 appendix A).
func linkLocalOf(m topology.MAC) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: m[0] ^ 2, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe, 13: m[3], 14: m[4], 15: m[5]})
}

func addr(f openflow.Field, a netip.Addr) openflow.MatchField { return openflow.Bytes(f, a.AsSlice()) }

func prefix(f openflow.Field, p netip.Prefix) openflow.MatchField {
	mask := make([]byte, p.Addr().BitLen()/8)
	for i := range p.Bits() {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	return openflow.BytesMask(f, p.Addr().AsSlice(), mask)
}

func contains(ps []netip.Prefix, p netip.Prefix) bool {
	for _, q := range ps {
		if q == p {
			return true
		}
	}
	return false
}
