package topology

import (
	"encoding/json"
	"fmt"
	"net"
	"strconv"
)

// MAC is a 48-bit Ethernet address. The zero value is none.
type MAC [6]byte

// ParseMAC reads six pairs of hexadecimal digits. Multicast addresses and zero are refused: no
// port owns them.
func ParseMAC(s string) (MAC, error) {
	hw, err := net.ParseMAC(s)
	if err != nil || len(hw) != 6 {
		return MAC{}, fmt.Errorf("%q is not a MAC address", s)
	}
	m := MAC(hw)
	if m == (MAC{}) || m.Multicast() {
		return MAC{}, fmt.Errorf("%s is not the address of one port", s)
	}
	return m, nil
}

// Multicast reports whether the address is a group address.
func (m MAC) Multicast() bool { return m[0]&1 == 1 }

// IsZero reports whether there is no address.
func (m MAC) IsZero() bool { return m == MAC{} }

// String gives the address as aa:bb:cc:dd:ee:ff.
func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// MarshalText implements encoding.TextMarshaler.
func (m MAC) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *MAC) UnmarshalText(b []byte) error {
	v, err := ParseMAC(string(b))
	if err == nil {
		*m = v
	}
	return err
}

// Metadata is a port's 64-bit user metadata, in JSON a hexadecimal string such as "0x1f".
type Metadata uint64

// MarshalJSON gives the hexadecimal string.
func (m Metadata) MarshalJSON() ([]byte, error) {
	return json.Marshal("0x" + strconv.FormatUint(uint64(m), 16))
}

// UnmarshalJSON reads a string, hexadecimal with 0x or decimal, or a plain number.
func (m *Metadata) UnmarshalJSON(b []byte) error {
	s := string(b)
	if len(s) > 0 && s[0] == '"' {
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
	}
	v, err := strconv.ParseUint(s, 0, 64)
	if err != nil {
		return fmt.Errorf("%q is not a 64-bit number", s)
	}
	*m = Metadata(v)
	return nil
}
