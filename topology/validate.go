package topology

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of what users may name.
const (
	maxID        = 63
	maxInterface = 15 // IFNAMSIZ without the final zero
	maxLabels    = 64
	maxLabel     = 63
	maxIPs       = 64
	// maxShared bounds the projects that an object is offered to by name.
	maxShared = 32

	maxCertificate = 253 // a DNS name's
)

// ValidID says whether s can be the id of an object: 1 to 63 of a-z, 0-9 and "-", the first a
// letter or digit. The error is a sentence without the id.
func ValidID(s string) error {
	valid := len(s) >= 1 && len(s) <= maxID && s[0] != '-'
	for i := 0; i < len(s) && valid; i++ {
		valid = lowerOrDigit(s[i]) || s[i] == '-'
	}
	if !valid {
		return errID
	}
	return nil
}

var errID = errors.New("want 1 to 63 of a-z, 0-9 and -, beginning with a letter or digit")

func lowerOrDigit(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

func validRef(field, id string) error {
	if err := ValidRef(id); err != nil {
		return &FieldError{field, fmt.Sprintf("%q is not an id: %v", short(id), err)}
	}
	return nil
}

// short cuts input to a length that an error can show.
func short(s string) string {
	if r := []rune(s); len(r) > 70 {
		return string(r[:70]) + "..."
	}
	return s
}

// validInterface holds Linux's rule for the names of network devices (dev_valid_name), and asks
// for printable names besides.
func validInterface(field, name string) error {
	bad := func(r rune) bool {
		return r == '/' || r == ':' || unicode.IsSpace(r) || unicode.IsControl(r) || r == utf8.RuneError
	}
	switch {
	case name == "":
		return &FieldError{field, "is required"}
	case len(name) > maxInterface:
		return &FieldError{field, fmt.Sprintf("%q is longer than %d bytes", short(name), maxInterface)}
	case name == "." || name == ".." || strings.ContainsFunc(name, bad):
		return &FieldError{field, fmt.Sprintf("%q is not the name of an interface", name)}
	}
	return nil
}

// validLabels: keys are 1 to 63 letters, digits and ._/-, the first a letter or digit; values are
// up to 63 bytes of printable text.
func validLabels(labels map[string]string) error {
	if len(labels) > maxLabels {
		return &FieldError{"labels", fmt.Sprintf("more than %d labels", maxLabels)}
	}
	for key, value := range labels {
		ok := len(key) >= 1 && len(key) <= maxLabel && !strings.ContainsRune("._/-", rune(key[0]))
		for i := 0; i < len(key) && ok; i++ {
			c := key[i]
			ok = lowerOrDigit(c) || 'A' <= c && c <= 'Z' || strings.IndexByte("._/-", c) >= 0
		}
		if !ok {
			return &FieldError{"labels", fmt.Sprintf("key %q: want 1 to %d letters, digits and . _ / -", short(key), maxLabel)}
		}
		if len(value) > maxLabel || strings.ContainsFunc(value, unprintable) {
			return &FieldError{"labels." + key, fmt.Sprintf("want at most %d bytes of printable text", maxLabel)}
		}
	}
	return nil
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }

// UnmarshalJSON reads a node strictly and sets tunnel_interface to tun0 where it is left out.
func (n *Node) UnmarshalJSON(b []byte) error {
	v := Node{TunnelInterface: "tun0"}
	_, err := DecodeObject(b, "", map[string]any{
		"datapath_id": &v.DatapathID, "tunnel_datapath_id": &v.TunnelDatapathID, "tunnel_ip": &v.TunnelIP,
		"tunnel_interface": &v.TunnelInterface, "certificate": &v.Certificate, "labels": &v.Labels,
	})
	if err == nil {
		*n = v
	}
	return err
}

// Validate gives a *FieldError for the first field that cannot be.
func (n Node) Validate() error {
	switch {
	case n.DatapathID == 0:
		return &FieldError{"datapath_id", "is required"}
	case n.TunnelDatapathID == n.DatapathID:
		return &FieldError{"tunnel_datapath_id", "is the node's own bridge: name the other one, or leave it out"}
	case !n.TunnelIP.IsValid():
		return &FieldError{"tunnel_ip", "is required"}
	case !n.TunnelIP.Is4():
		return &FieldError{"tunnel_ip", fmt.Sprintf("%s is not an IPv4 address", n.TunnelIP)}
	case !unicast(n.TunnelIP) || n.TunnelIP.IsLoopback():
		return &FieldError{"tunnel_ip", fmt.Sprintf("%s is not the address of one machine", n.TunnelIP)}
	}
	if err := validInterface("tunnel_interface", n.TunnelInterface); err != nil {
		return err
	}
	if len(n.Certificate) > maxCertificate || strings.ContainsFunc(n.Certificate, unprintable) {
		return &FieldError{"certificate", fmt.Sprintf("want at most %d bytes of printable text", maxCertificate)}
	}
	return validLabels(n.Labels)
}

// unicast reports whether one machine can own the address.
func unicast(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// UnmarshalJSON reads a network strictly.
func (n *Network) UnmarshalJSON(b []byte) error {
	var v Network
	_, err := DecodeObject(b, "", map[string]any{"labels": &v.Labels})
	if err == nil {
		*n = v
	}
	return err
}

// Validate gives a *FieldError for the first field that cannot be.
func (n Network) Validate() error { return validLabels(n.Labels) }

// UnmarshalJSON reads a port strictly. Left out, kind is vm and port_security is true where mac is
// given and the port is no gateway; interface is left empty, for WithDefaults.
func (p *Port) UnmarshalJSON(b []byte) error {
	v := Port{Kind: KindVM}
	var ips []string
	given, err := DecodeObject(b, "", map[string]any{
		"network": &v.Network, "kind": &v.Kind, "interface": &v.Interface, "mac": &v.MAC, "ips": &ips,
		"port_security": &v.PortSecurity, "labels": &v.Labels, "metadata": &v.Metadata,
		"return_port": &v.ReturnPort, "tag": &v.Tag, "shared_with": &v.SharedWith,
	})
	if err != nil {
		return err
	}
	for _, s := range ips {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return &FieldError{"ips", fmt.Sprintf("%q is not an IP address", short(s))}
		}
		v.IPs = append(v.IPs, a)
	}
	if !given["port_security"] {
		v.PortSecurity = given["mac"] && v.Kind != KindGateway
	}
	*p = v
	return nil
}

// WithDefaults fills in what depends on the port's id: the interface is the id, or, where that is
// too long for an interface, "tap" and its first 11 characters, as Neutron names them. A return port
// that is the port itself, and the tag none, are what a monitor has anyway, and are left out.
func (p Port) WithDefaults(id string) Port {
	if p.Kind == "" {
		p.Kind = KindVM
	}
	switch {
	case p.Interface != "":
	case len(id) <= maxInterface:
		p.Interface = id
	default:
		p.Interface = "tap" + id[:11]
	}
	if p.ReturnPort == id {
		p.ReturnPort = ""
	}
	if p.Tag == TagNone {
		p.Tag = ""
	}
	return p
}

// Validate gives a *FieldError for the first field that cannot be. Whether the network exists is
// for the caller to find out.
func (p Port) Validate() error {
	switch p.Kind {
	case KindMonitor:
		if p.Network != "" {
			return &FieldError{"network", "a monitor is in no network: only taps reach it"}
		}
	case KindVM, KindGateway:
		if p.Network == "" {
			return &FieldError{"network", fmt.Sprintf("is required for a port of kind %s", p.Kind)}
		}
		if err := validRef("network", p.Network); err != nil {
			return err
		}
	default:
		return &FieldError{"kind", fmt.Sprintf("%q: want vm, gateway or monitor", short(string(p.Kind)))}
	}
	if err := p.validArms(); err != nil {
		return err
	}
	if len(p.SharedWith) > 0 && p.Kind != KindMonitor {
		return &FieldError{"shared_with", "only monitors and pools are offered to other projects"}
	}
	if err := validShared(p.SharedWith); err != nil {
		return err
	}
	if err := validInterface("interface", p.Interface); err != nil {
		return err
	}
	if p.MAC.Multicast() {
		return &FieldError{"mac", fmt.Sprintf("%s is not the address of one port", p.MAC)}
	}
	switch {
	case p.PortSecurity && p.Kind == KindGateway:
		return &FieldError{"port_security", "a gateway has none: several MACs may be behind it"}
	case p.PortSecurity && p.MAC.IsZero():
		return &FieldError{"port_security", "needs mac"}
	}
	if err := validIPs(p.IPs); err != nil {
		return err
	}
	return validLabels(p.Labels)
}

// validArms checks what only monitors have.
func (p Port) validArms() error {
	switch {
	case p.ReturnPort != "" && p.Kind != KindMonitor:
		return &FieldError{"return_port", "only a monitor has one"}
	case p.Tag != "" && p.Tag != TagNone && p.Tag != TagVLAN:
		return &FieldError{"tag", fmt.Sprintf("%q: want none or vlan", short(string(p.Tag)))}
	case p.Tag == TagVLAN && p.Kind != KindMonitor:
		return &FieldError{"tag", "only frames to a monitor are tagged"}
	case p.ReturnPort != "":
		return validRef("return_port", p.ReturnPort)
	}
	return nil
}

func validIPs(ips []netip.Addr) error {
	if len(ips) > maxIPs {
		return &FieldError{"ips", fmt.Sprintf("more than %d addresses", maxIPs)}
	}
	seen := map[netip.Addr]bool{}
	for _, a := range ips {
		switch {
		case !unicast(a) || a.IsLoopback() || a.Is4In6() || a.Zone() != "":
			return &FieldError{"ips", fmt.Sprintf("%s is not the address of one port", a)}
		case seen[a]:
			return &FieldError{"ips", fmt.Sprintf("%s is there twice", a)}
		}
		seen[a] = true
	}
	return nil
}
