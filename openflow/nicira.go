package openflow

import "fmt"

// ExperimenterNicira is the experimenter of Open vSwitch's own actions.
const ExperimenterNicira uint32 = 0x00002320

// Subtypes of Nicira actions (ovs-actions(7) names them; nicira-ext.h of Open vSwitch 3.1 numbers them).
const (
	nxResubmit      = 1
	nxMove          = 6
	nxLoad          = 7
	nxMultipath     = 10
	nxResubmitTable = 14
	nxOutputReg     = 15
	nxOutputTrunc   = 39
	nxClone         = 42
)

// nxPort16 is a port number in the 16 bits that these actions have. 0xff00 and above stand for
// 0xffffff00 and above (ovs-fields(7), in_port_oxm).
func nxPort16(p PortNo) (uint16, error) {
	if p >= PortMax || p < 0xff00 {
		return uint16(p), nil
	}
	return 0, fmt.Errorf("port %d does not fit 16 bits", p)
}

func nxPort32(p uint16) PortNo {
	if p >= 0xff00 {
		return PortNo(p) | 0xffff0000
	}
	return PortNo(p)
}

// maxClones is how deep clones are read; what is deeper stays raw, or a peer could have us
// recurse thousands of times.
const maxClones = 8

func appendNicira(b []byte, a Action) ([]byte, error) {
	header := func(n, subtype int) {
		b = be.AppendUint32(b, uint32(actExperimenter)<<16|uint32(n))
		b = be.AppendUint32(b, ExperimenterNicira)
		b = be.AppendUint16(b, uint16(subtype))
	}
	switch a := a.(type) {
	case Resubmit:
		port, err := nxPort16(a.Port)
		if err != nil {
			return nil, fmt.Errorf("resubmit: %w", err)
		}
		header(16, nxResubmitTable)
		b = be.AppendUint16(b, port)
		return append(b, byte(a.Table), 0, 0, 0), nil
	case OutputField:
		bits := a.Field.Bits()
		if bits == 0 || bits > 64 {
			return nil, fmt.Errorf("output to %v", a.Field)
		}
		header(24, nxOutputReg)
		b = be.AppendUint16(b, uint16(bits-1)) // from bit 0, all bits
		b = be.AppendUint32(b, oxmHeader(a.Field, false, a.Field.Size()))
		b = be.AppendUint16(b, a.MaxLen)
		return append(b, zeros[:6]...), nil
	case OutputTruncate:
		port, err := nxPort16(a.Port)
		if err != nil {
			return nil, fmt.Errorf("truncating output: %w", err)
		}
		header(16, nxOutputTrunc)
		b = be.AppendUint16(b, port)
		return be.AppendUint32(b, a.MaxLen), nil
	case Multipath:
		if err := a.valid(); err != nil {
			return nil, err
		}
		header(32, nxMultipath)
		return a.append(b), nil
	case Load:
		header(24, nxLoad)
		return appendBits(b, a)
	case Move:
		header(24, nxMove)
		return appendBits(b, a)
	case Clone:
		start := len(b)
		header(0, nxClone)
		b = append(b, zeros[:6]...)
		var err error
		if b, err = appendActions(b, a.Actions); err != nil {
			return nil, fmt.Errorf("clone: %w", err)
		}
		return b, putLen16(b, start, start+2)
	}
	return nil, fmt.Errorf("no Nicira action: %T", a)
}

// decodeNicira reads a Nicira action of at least 16 bytes; nil when it is not one of ours.
func decodeNicira(b []byte, depth int) Action {
	port := nxPort32(be.Uint16(b[10:]))
	switch subtype := be.Uint16(b[8:]); {
	case subtype == nxResubmit && len(b) == 16:
		// Open vSwitch returns this form for a resubmit to the present table.
		return Resubmit{Port: port, Table: TableAll}
	case subtype == nxResubmitTable && len(b) == 16:
		return Resubmit{Port: port, Table: TableID(b[12])}
	case subtype == nxOutputTrunc && len(b) == 16:
		return OutputTruncate{Port: port, MaxLen: be.Uint32(b[12:])}
	case subtype == nxMultipath && len(b) == 32:
		return decodeMultipath(b)
	case (subtype == nxLoad || subtype == nxMove) && len(b) == 24:
		return decodeBits(b)
	case subtype == nxClone && depth < maxClones && [6]byte(b[10:]) == [6]byte{}:
		if inner, err := decodeNested(b[16:], depth+1); err == nil {
			return Clone{Actions: inner}
		}
	case subtype == nxOutputReg && len(b) == 24:
		header := be.Uint32(b[12:])
		f := Field(header >> 9)
		if bits := f.Bits(); bits == 0 || bits > 64 || int(be.Uint16(b[10:])) != bits-1 ||
			header != oxmHeader(f, false, f.Size()) {
			return nil
		}
		return OutputField{Field: f, MaxLen: be.Uint16(b[16:])}
	}
	return nil
}
