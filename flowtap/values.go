package flowtap

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/flowtap/flowtap/topology"
)

// special are the fields whose values do not simply go into one constraint.
var special = map[string]func(p *parser, name, value string) error{
	"in_port":     (*parser).inPort,
	"table":       (*parser).table,
	"dl_vlan":     (*parser).vlan,
	"vlan_vid":    (*parser).vlanVID,
	"dl_vlan_pcp": (*parser).vlanPCP,
	"nw_src":      (*parser).address,
	"nw_dst":      (*parser).address,
	"ip_dscp":     (*parser).dscp,
	"ip_frag":     (*parser).frag,
	"tp_src":      (*parser).port,
	"tp_dst":      (*parser).port,
}

// plain reads value or value/mask of an ordinary field.
func (p *parser) plain(x field, value string) error {
	c, err := fieldTable[x].constraint(value)
	if err != nil {
		return err
	}
	if !p.form.and(x, c) {
		return fieldErr(x.name(), "%s contradicts %s", value, formatField(x, p.form.cons[x]))
	}
	return nil
}

func (i fieldInfo) constraint(text string) (constraint, error) {
	text, maskText, masked := strings.Cut(text, "/")
	v, err := i.parse(text)
	if err != nil || !masked {
		return constraint{v, ones(i.bits)}, err
	}
	if !i.maskable {
		return constraint{}, fieldErr(i.name, "takes no mask")
	}
	m, err := i.parseMask(maskText)
	return constraint{v.and(m), m}, err
}

func (i fieldInfo) parseMask(text string) (word, error) {
	if i.syntax == asIPv4 || i.syntax == asIPv6 {
		if n, err := strconv.Atoi(text); err == nil {
			if n < 0 || n > i.bits || strconv.Itoa(n) != text {
				return word{}, fieldErr(i.name, "prefix length %s: want 0 to %d", quote(text), i.bits)
			}
			return prefixMask(n, i.bits), nil
		}
	}
	return i.parse(text)
}

// parse reads one value.
func (i fieldInfo) parse(text string) (word, error) {
	switch i.syntax {
	case asMAC:
		hw, err := net.ParseMAC(text)
		if err != nil || len(hw) != 6 {
			return word{}, fieldErr(i.name, "%s is not a MAC address", quote(text))
		}
		return wordOf(hw), nil
	case asIPv4, asIPv6:
		a, err := netip.ParseAddr(text)
		if want := map[bool]string{true: "IPv4", false: "IPv6"}[i.syntax == asIPv4]; err != nil ||
			a.Zone() != "" || a.Is4() != (i.syntax == asIPv4) {
			return word{}, fieldErr(i.name, "%s is not an %s address", quote(text), want)
		}
		return wordOf(a.AsSlice()), nil
	case asProto:
		for v, name := range protoNames {
			if strings.EqualFold(text, name) || v == protoICMPv6 && strings.EqualFold(text, "icmp6") {
				return low(v), nil
			}
		}
	}
	top := ones(i.bits).lo
	if i.name == "nw_tos" {
		v, err := number(i.name, text, 0xff)
		if err == nil && v&3 != 0 {
			err = fieldErr(i.name, "%s has one of the two low bits, which are nw_ecn's", text)
		}
		return low(v >> 2), err
	}
	if i.name == "dl_type" {
		if s, ok := shorthands[strings.ToLower(text)]; ok && s.etherType != 0 && s.proto == 0 {
			return low(uint64(s.etherType)), nil
		}
	}
	if i.name == "arp_op" {
		top = 0xff // Open vSwitch shows greater ones as zero
	}
	v, err := number(i.name, text, top)
	switch {
	case err != nil && i.syntax == asProto:
		err = fieldErr(i.name, "%s: want a number from 0 to 255, or TCP, UDP, SCTP, ICMP, ICMPv6, IGMP or GRE", quote(text))
	case err == nil && i.name == "arp_op" && v == 0:
		err = fieldErr(i.name, "want a number from 1 to 255")
	}
	return low(v), err
}

// number reads a decimal number, or a hexadecimal one after 0x.
func number(name, text string, most uint64) (uint64, error) {
	digits, base := text, 10
	if len(text) > 2 && (text[:2] == "0x" || text[:2] == "0X") {
		digits, base = text[2:], 16
	}
	v, err := strconv.ParseUint(digits, base, 64)
	octal := base == 10 && len(digits) > 1 && digits[0] == '0'
	if err != nil || v > most || octal {
		limit := strconv.FormatUint(most, 10)
		if most > 0xffff {
			limit = fmt.Sprintf("%#x", most)
		}
		return 0, fieldErr(name, "%s: want a number from 0 to %s", quote(text), limit)
	}
	return v, nil
}

// inPort takes what users write, and the id inside of a port of another project than default.
func (p *parser) inPort(name, value string) error {
	project, own := topology.SplitID(value)
	if err := cmp.Or(topology.ValidID(project), topology.ValidID(own)); err != nil {
		return fieldErr(name, "is the id of a port: %v", err)
	}
	p.form.inPort = value
	return nil
}

func (p *parser) table(name, value string) error {
	d := Direction(strings.ToLower(value))
	if d != In && d != Out {
		return fieldErr(name, "%s: want in or out", quote(value))
	}
	p.form.stage = d
	return nil
}

func (p *parser) tci(name, value string, c constraint) error {
	// Two fields may meet in one TCI: "tagged" of one against "not tagged" of the other, say.
	if !p.form.and(fieldTCI, c) || p.form.normalTCI() != nil {
		return fieldErr(name, "%s contradicts what the match says of the VLAN elsewhere", value)
	}
	return nil
}

// vlanNone is how dl_vlan says that there is no tag (OpenFlow 1.0).
const vlanNone = 0xffff

func (p *parser) vlan(name, value string) error {
	v, err := number(name, value, vlanNone)
	switch {
	case err != nil:
		return err
	case v == vlanNone:
		return p.tci(name, value, constraint{low(0), low(0xffff)})
	case v > tciVID:
		return fieldErr(name, "%s: want 0 to 4095, or 0xffff for frames without a tag", quote(value))
	}
	return p.tci(name, value, constraint{low(v | tciPresent), low(tciVID | tciPresent)})
}

// vlanVID reads OpenFlow 1.2's field, in which 0x1000 says "tagged" and 0 "not tagged". A plain
// number without that bit, which there matches nothing, is taken as dl_vlan.
func (p *parser) vlanVID(name, value string) error {
	info := fieldInfo{name: name, bits: 13, maskable: true}
	c, err := info.constraint(value)
	if err != nil {
		return err
	}
	if c.mask == ones(13) && c.value.lo != 0 {
		c.value.lo |= tciPresent
	}
	return p.tci(name, value, c)
}

func (p *parser) vlanPCP(name, value string) error {
	v, err := number(name, value, 7)
	if err != nil {
		return err
	}
	return p.tci(name, value, constraint{low(v<<13 | tciPresent), low(tciPCP | tciPresent)})
}

// address reads nw_src and nw_dst, which take an address of either family.
func (p *parser) address(name, value string) error {
	x := fieldByName[name]
	if strings.Contains(value, ":") {
		info := fieldTable[x-fieldIPSrc+fieldIPv6Src]
		info.name = name
		c, err := info.constraint(value)
		if err != nil {
			return err
		}
		if x += fieldIPv6Src - fieldIPSrc; !p.form.and(x, c) {
			return fieldErr(name, "%s contradicts %s", value, formatField(x, p.form.cons[x]))
		}
		return nil
	}
	return p.plain(x, value)
}

func (p *parser) dscp(name, value string) error {
	v, err := number(name, value, 63)
	if err != nil {
		return err
	}
	if !p.form.andExact(fieldDSCP, v) {
		return fieldErr(name, "%s contradicts %s", value, formatField(fieldDSCP, p.form.cons[fieldDSCP]))
	}
	return nil
}

func (p *parser) frag(name, value string) error {
	for set, word := range fragNames {
		if strings.EqualFold(word, value) {
			p.form.frags = set
			return nil
		}
	}
	return fieldErr(name, "%s: want any, no, yes, first, later or not_later", quote(value))
}

// port reads a number, a range or value/mask.
func (p *parser) port(name, value string) error {
	x := fieldByName[name]
	from, to, isRange := strings.Cut(value, "-")
	if !isRange {
		return p.plain(x, value)
	}
	first, err := number(name, from, 0xffff)
	if err != nil {
		return err
	}
	last, err := number(name, to, 0xffff)
	if err != nil {
		return err
	}
	if first > last {
		return fieldErr(name, "the range %s ends before it begins", value)
	}
	p.form.andSpan(x, span{uint16(first), uint16(last)})
	return nil
}
