package ofsim

import (
	"encoding/binary"

	"github.com/flowtap/flowtap/openflow"
)

// A key is everything that a flow can match, packed into words so that one match is a few
// compares. Fields that exclude each other share their place, as they do in Open vSwitch: ARP
// addresses with IPv4 addresses, the ARP operation with the IP protocol, ICMP type and code and
// ports.
type key [24]uint64

// Words of a key.
const (
	wPort   = 0 // in_port, pkt_mark
	wMeta   = 1
	wTunID  = 2
	wTunIP  = 3  // tun_src, tun_dst
	wReg    = 4  // reg0, reg1 and so on to word 11
	wEthDst = 12 // dl_dst, dl_type
	wEthSrc = 13 // dl_src, vlan_tci with bit 12 set where a tag is present
	wIPv4   = 14 // nw_src, nw_dst
	wSrc6   = 15
	wDst6   = 17
	wIP     = 19 // label 32, frag 8, tos 8, ttl 8, proto 8
	wSHA    = 20 // arp_sha or nd_sll, tp_src or icmp type
	wTHA    = 21 // arp_tha or nd_tll, tp_dst or icmp code
	wTarget = 22
)

// A place is where a field is in a key: bits from shift on of one word, or two whole words where bits is 128.
type place struct {
	word, shift, bits uint8
}

func (p place) mask() uint64 {
	if p.bits >= 64 {
		return ^uint64(0)
	}
	return (1<<p.bits - 1) << p.shift
}

func (k *key) get(p place) uint64 { return k[p.word] & p.mask() >> p.shift }

func (k *key) put(p place, v uint64) {
	m := p.mask()
	k[p.word] = k[p.word]&^m | v<<p.shift&m
}

// Places that the package itself uses.
var (
	atInPort  = place{wPort, 32, 32}
	atMark    = place{wPort, 0, 32}
	atTunID   = place{wTunID, 0, 64}
	atTunSrc  = place{wTunIP, 32, 32}
	atTunDst  = place{wTunIP, 0, 32}
	atEthDst  = place{wEthDst, 16, 48}
	atEthType = place{wEthDst, 0, 16}
	atEthSrc  = place{wEthSrc, 16, 48}
	atTCI     = place{wEthSrc, 0, 16}
	atIPSrc   = place{wIPv4, 32, 32}
	atIPDst   = place{wIPv4, 0, 32}
	atLabel   = place{wIP, 32, 32}
	atFrag    = place{wIP, 24, 8}
	atTOS     = place{wIP, 16, 8}
	atTTL     = place{wIP, 8, 8}
	atProto   = place{wIP, 0, 8}
	atSHA     = place{wSHA, 16, 48}
	atTHA     = place{wTHA, 16, 48}
	atSport   = place{wSHA, 0, 16}
	atDport   = place{wTHA, 0, 16}
	at6Src    = place{wSrc6, 0, 128}
	at6Dst    = place{wDst6, 0, 128}
	atTarget  = place{wTarget, 0, 128}
)

var places = map[openflow.Field]place{
	openflow.FieldInPort: atInPort, openflow.FieldPktMark: atMark,
	openflow.FieldMetadata: {wMeta, 0, 64}, openflow.FieldTunnelID: atTunID,
	openflow.FieldTunSrc: atTunSrc, openflow.FieldTunDst: atTunDst,
	openflow.FieldEthDst: atEthDst, openflow.FieldEthSrc: atEthSrc, openflow.FieldEthType: atEthType,
	openflow.FieldVLANTCI: atTCI, openflow.FieldVLANVID: {wEthSrc, 0, 13}, openflow.FieldVLANPCP: {wEthSrc, 13, 3},
	openflow.FieldIPDSCP: {wIP, 18, 6}, openflow.FieldIPECN: {wIP, 16, 2},
	openflow.FieldIPProto: atProto, openflow.FieldIPTTL: atTTL, openflow.FieldIPFrag: atFrag,
	openflow.FieldIPv4Src: atIPSrc, openflow.FieldIPv4Dst: atIPDst,
	openflow.FieldTCPSrc: atSport, openflow.FieldTCPDst: atDport,
	openflow.FieldUDPSrc: atSport, openflow.FieldUDPDst: atDport,
	openflow.FieldSCTPSrc: atSport, openflow.FieldSCTPDst: atDport,
	openflow.FieldICMPType: atSport, openflow.FieldICMPCode: atDport,
	openflow.FieldICMPv6Type: atSport, openflow.FieldICMPv6Code: atDport,
	openflow.FieldARPOp: atProto, openflow.FieldARPSPA: atIPSrc, openflow.FieldARPTPA: atIPDst,
	openflow.FieldARPSHA: atSHA, openflow.FieldARPTHA: atTHA,
	openflow.FieldIPv6Src: at6Src, openflow.FieldIPv6Dst: at6Dst, openflow.FieldIPv6Label: atLabel,
	openflow.FieldNDTarget: atTarget, openflow.FieldNDSLL: atSHA, openflow.FieldNDTLL: atTHA,
}

// placeOf finds where a field is.
func placeOf(f openflow.Field) (place, bool) {
	if n := f.Number(); f.Class() == 1 && n < 16 {
		return place{wReg + n/2, 32 * (1 - n%2), 32}, true
	}
	p, ok := places[f]
	return p, ok
}

// low reads the first size bytes as a number.
func low(v *[16]byte, size int) uint64 {
	var n uint64
	for _, b := range v[:size] {
		n = n<<8 | uint64(b)
	}
	return n
}

// A term is a part of a match: one word of the key.
type term struct {
	word        uint8
	mask, value uint64
}

// compile turns a match into terms, one a word.
func compile(m openflow.Match) []term {
	terms := make([]term, 0, len(m)+1)
	add := func(word uint8, mask, value uint64) {
		for i := range terms {
			if terms[i].word == word {
				terms[i].mask |= mask
				terms[i].value |= value
				return
			}
		}
		terms = append(terms, term{word, mask, value})
	}
	for i := range m {
		f := &m[i]
		p, _ := placeOf(f.Field)
		if p.bits == 128 {
			for j := range uint8(2) {
				if mask := binary.BigEndian.Uint64(f.Mask[8*j:]); mask != 0 {
					add(p.word+j, mask, binary.BigEndian.Uint64(f.Value[8*j:]))
				}
			}
			continue
		}
		size := f.Field.Size()
		add(p.word, low(&f.Mask, size)<<p.shift&p.mask(), low(&f.Value, size)<<p.shift&p.mask())
	}
	return terms
}

func (k *key) matches(terms []term) bool {
	for i := range terms {
		if k[terms[i].word]&terms[i].mask != terms[i].value {
			return false
		}
	}
	return true
}
