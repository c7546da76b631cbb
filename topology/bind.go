package topology

import (
	"net/netip"
	"slices"

	"github.com/flowtap/flowtap/openflow"
)

// MaxLearned bounds the MACs, and the IPs, learned for one port.
const MaxLearned = 8

// Attach says that a port's interface is on a node under a port number, or not any more where
// that is zero. Frames for the port go on to where it was active as long as it is still there and
// has a link; then, or where that node does not answer (alive), to the attachment with a link that
// came first.
func Attach(st PortStatus, node string, ofport openflow.PortNo, alive func(node string) bool) PortStatus {
	as := slices.Clone(st.Attachments)
	i := slices.IndexFunc(as, func(a Attachment) bool { return a.Node == node })
	switch {
	case i >= 0 && ofport == 0:
		as = slices.Delete(as, i, i+1)
	case i >= 0:
		as[i].OFPort = ofport
	case ofport != 0:
		as = append(as, Attachment{Node: node, OFPort: ofport})
	}
	st.Attachments = as
	return choose(st, alive)
}

// Link says whether a port's interface on a node is up. It concerns nothing where it is not.
func Link(st PortStatus, node string, down bool, alive func(node string) bool) PortStatus {
	i := slices.IndexFunc(st.Attachments, func(a Attachment) bool { return a.Node == node })
	if i < 0 || st.Attachments[i].Down == down {
		return st
	}
	st.Attachments = slices.Clone(st.Attachments)
	st.Attachments[i].Down = down
	return choose(st, alive)
}

// choose settles which attachment is the active one, and which are lost. It may change the
// elements of st.Attachments.
func choose(st PortStatus, alive func(node string) bool) PortStatus {
	as, best := st.Attachments, -1
	rank := func(a Attachment) (r int) {
		if alive(a.Node) {
			r += 4
			if !a.Down {
				r += 2
			}
		}
		if a.Node == st.Node {
			r++
		}
		return r
	}
	for i, a := range as {
		if best < 0 || rank(a) > rank(as[best]) {
			best = i
		}
	}
	if best < 0 {
		return settle(st, "")
	}
	st = settle(st, as[best].Node)
	for i, a := range as {
		as[i].Lost = !alive(a.Node) && alive(st.Node)
	}
	return st
}

// Arrive says that a port has sent its first frame on a node: frames for it go there from now on.
func Arrive(st PortStatus, node string) PortStatus {
	st.Attachments = slices.Clone(st.Attachments)
	return settle(st, node)
}

// settle puts the attachment on the active node first.
func settle(st PortStatus, active string) PortStatus {
	as := st.Attachments
	if i := slices.IndexFunc(as, func(a Attachment) bool { return a.Node == active }); i > 0 {
		a := as[i]
		copy(as[1:i+1], as[:i])
		as[0] = a
	}
	if len(as) == 0 {
		if st.Node != "" || st.State == PortDown {
			return PortStatus{State: PortDown, LearnedMACs: st.LearnedMACs, LearnedIPs: st.LearnedIPs}
		}
		return PortStatus{State: PortPending, LearnedMACs: st.LearnedMACs, LearnedIPs: st.LearnedIPs}
	}
	st.Node, st.OFPort = as[0].Node, as[0].OFPort
	return st
}

// SameAttachments reports whether two statuses say the same of where a port is.
func SameAttachments(a, b PortStatus) bool {
	return a.Node == b.Node && a.OFPort == b.OFPort && slices.Equal(a.Attachments, b.Attachments)
}

// LinkDown reports whether a port has no link where it is active.
func (st PortStatus) LinkDown() bool { return len(st.Attachments) > 0 && st.Attachments[0].Down }

// Carried gives the state of a port whose attachments the switches act on.
func Carried(st PortStatus) string {
	places := 0
	for _, a := range st.Attachments {
		if !a.Lost {
			places++
		}
	}
	switch {
	case len(st.Attachments) == 0:
		return st.State
	case st.LinkDown():
		return PortDown
	case places > 1:
		return PortMigrating
	default:
		return PortActive
	}
}

// LearnMAC adds an address seen from a port that declares none; false where nothing changes.
func LearnMAC(p Port, st PortStatus, m MAC) (PortStatus, bool) {
	if !p.MAC.IsZero() || m.IsZero() || m.Multicast() || len(st.LearnedMACs) >= MaxLearned || slices.Contains(st.LearnedMACs, m) {
		return st, false
	}
	st.LearnedMACs = append(slices.Clone(st.LearnedMACs), m)
	return st, true
}

// LearnIP is LearnMAC for IP addresses.
func LearnIP(p Port, st PortStatus, ip netip.Addr) (PortStatus, bool) {
	if len(p.IPs) > 0 || !ip.IsValid() || ip.IsUnspecified() || ip.IsMulticast() || len(st.LearnedIPs) >= MaxLearned || slices.Contains(st.LearnedIPs, ip) {
		return st, false
	}
	st.LearnedIPs = append(slices.Clone(st.LearnedIPs), ip)
	return st, true
}

// SenderOf reads who a frame says it comes from: its source MAC, and the IP that an ARP message
// or a neighbour advertisement claims (invalid in other frames, and in frames cut short).
func SenderOf(frame []byte) (MAC, netip.Addr) {
	if len(frame) < 14 {
		return MAC{}, netip.Addr{}
	}
	m := MAC(frame[6:12])
	body := frame[12:]
	for len(body) >= 6 && (be16(body) == 0x8100 || be16(body) == 0x88a8) {
		body = body[4:]
	}
	if len(body) < 2 {
		return m, netip.Addr{}
	}
	etherType, body := be16(body), body[2:]
	switch {
	case etherType == 0x0806 && len(body) >= 18:
		return m, netip.AddrFrom4([4]byte(body[14:18]))
	case etherType == 0x86dd && len(body) >= 64 && body[6] == 58 && body[40] == 136:
		return m, netip.AddrFrom16([16]byte(body[48:64]))
	}
	return m, netip.Addr{}
}

func be16(b []byte) uint16 { return uint16(b[0])<<8 | uint16(b[1]) }
