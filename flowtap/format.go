package flowtap

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// text gives the form's canonical spelling.
func (f *form) text() string {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if f.inPort != "" {
		add("in_port=%s", f.inPort)
	}
	if f.toPort != "" {
		add("%s=%s", toPortKey, f.toPort)
	}
	for x := range numFields {
		switch c := f.cons[x]; {
		case !f.has(x):
		case x == fieldTCI:
			out = append(out, formatTCI(c)...)
		case x == fieldFrag:
			add("ip_frag=%s", fragNames[f.frags])
		case x == fieldPortSrc || x == fieldPortDst:
			if s := f.ports[x-fieldPortSrc]; s != allPorts {
				add("%s=%s", x.name(), s)
			}
			if !c.mask.zero() {
				add("%s", formatField(x, c))
			}
		default:
			add("%s", formatField(x, c))
		}
	}
	if f.stage != "" {
		add("table=%s", f.stage)
	}
	return strings.Join(out, "; ")
}

func (s span) String() string {
	if s.first == s.last {
		return strconv.Itoa(int(s.first))
	}
	return fmt.Sprintf("%d-%d", s.first, s.last)
}

// fragNames are the sets that have a name in ovs-fields(7).
var fragNames = map[fragSet]string{
	fragAny: "any", fragNo: "no", fragFirst | fragLater: "yes", fragFirst: "first", fragLater: "later",
	fragNo | fragFirst: "not_later",
}

// formatTCI says dl_vlan and dl_vlan_pcp where those two say all.
func formatTCI(c constraint) []string {
	v, m := c.value.lo, c.mask.lo
	vid := fmt.Sprintf("dl_vlan=%d", v&tciVID)
	pcp := fmt.Sprintf("dl_vlan_pcp=%d", v>>13)
	if v&tciPresent != 0 {
		switch m {
		case tciPresent | tciVID:
			return []string{vid}
		case tciPresent | tciPCP:
			return []string{pcp}
		case tciPresent | tciVID | tciPCP:
			return []string{vid, pcp}
		}
	}
	return []string{formatField(fieldTCI, c)}
}

// formatField spells one constraint: name=value, and the mask where it is not exact.
func formatField(x field, c constraint) string {
	info := fieldTable[x]
	if c.mask == x.full() {
		return info.name + "=" + info.format(c.value)
	}
	if n, ok := c.mask.prefixLen(info.bits); ok && (info.syntax == asIPv4 || info.syntax == asIPv6) {
		return fmt.Sprintf("%s=%s/%d", info.name, info.format(c.value), n)
	}
	return info.name + "=" + info.format(c.value) + "/" + info.format(c.mask)
}

func (i fieldInfo) format(w word) string {
	b := w.bytes16()
	switch i.syntax {
	case asMAC:
		return net.HardwareAddr(b[10:]).String()
	case asIPv4:
		return netip.AddrFrom4([4]byte(b[12:])).String()
	case asIPv6:
		return netip.AddrFrom16(b).String()
	case asProto:
		if name, ok := protoNames[w.lo]; ok {
			return name
		}
	case asHex16, asPort:
		return fmt.Sprintf("0x%04x", w.lo)
	case asHex:
		return fmt.Sprintf("%#x", w.lo)
	}
	if i.name == "nw_tos" {
		return strconv.FormatUint(w.lo<<2, 10)
	}
	return strconv.FormatUint(w.lo, 10)
}
