package openflow

import (
	"fmt"
	"strconv"
)

// DPID identifies a datapath (OpenFlow 1.3.5 §7.3.1). Its text form is 16 hexadecimal digits.
type DPID uint64

// String gives the 16 hexadecimal digits that `ovs-vsctl get bridge br-int datapath_id` prints.
func (d DPID) String() string { return fmt.Sprintf("%016x", uint64(d)) }

// ParseDPID reads 16 hexadecimal digits. Zero is refused: Open vSwitch never uses it.
func ParseDPID(s string) (DPID, error) {
	v, err := strconv.ParseUint(s, 16, 64)
	if err != nil || len(s) != 16 || v == 0 {
		return 0, fmt.Errorf("datapath id %q: want 16 hexadecimal digits, not all zero", s)
	}
	return DPID(v), nil
}

// MarshalText implements encoding.TextMarshaler.
func (d DPID) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *DPID) UnmarshalText(b []byte) error {
	v, err := ParseDPID(string(b))
	if err == nil {
		*d = v
	}
	return err
}

// PortNo is a port number on one switch (OpenFlow 1.3.5 §7.2.1). Zero is no port.
type PortNo uint32

// Reserved port numbers (OpenFlow 1.3.5 §7.2.1).
const (
	PortMax        PortNo = 0xffffff00
	PortInPort     PortNo = 0xfffffff8
	PortTable      PortNo = 0xfffffff9
	PortNormal     PortNo = 0xfffffffa
	PortFlood      PortNo = 0xfffffffb
	PortAll        PortNo = 0xfffffffc
	PortController PortNo = 0xfffffffd
	PortLocal      PortNo = 0xfffffffe
	PortAny        PortNo = 0xffffffff
)

// TableID numbers a flow table; goto goes to higher numbers only (OpenFlow 1.3.5 §5.1).
type TableID uint8

// TableAll stands for every table in deletes and statistics requests.
const TableAll TableID = 0xff

// GroupID numbers a group (OpenFlow 1.3.5 §7.3.4.2).
type GroupID uint32

// Reserved group numbers.
const (
	GroupMax GroupID = 0xffffff00
	GroupAll GroupID = 0xfffffffc
	GroupAny GroupID = 0xffffffff
)

// NoBuffer says that a packet-in or packet-out carries the whole frame.
const NoBuffer uint32 = 0xffffffff
