package openflow

import "fmt"

// ExperimenterONF is the experimenter of the Open Networking Foundation's extensions.
const ExperimenterONF uint32 = 0x4f4e4600

// Experimenter types of bundle messages (ONF EXT-230).
const (
	onfBundleControl = 2300
	onfBundleAdd     = 2301
)

// BundleCtrl is what a BundleControl asks or answers (ONF EXT-230). An answer is its request plus one.
type BundleCtrl uint16

// Bundle controls.
const (
	BundleOpenRequest BundleCtrl = iota
	BundleOpenReply
	BundleCloseRequest
	BundleCloseReply
	BundleCommitRequest
	BundleCommitReply
	BundleDiscardRequest
	BundleDiscardReply
)

// Bundle flags. All messages about one bundle carry the same.
const (
	BundleAtomic  uint16 = 1 << 0 // all or nothing, and no packet sees a part of it
	BundleOrdered uint16 = 1 << 1 // executed in the order in which they were added
)

// BundleControl opens, closes, commits or discards a bundle, or answers that.
type BundleControl struct {
	BundleID uint32
	Ctrl     BundleCtrl
	Flags    uint16
}

// BundleAdd adds a message to a bundle. It has no answer but an error.
type BundleAdd struct {
	BundleID uint32
	Flags    uint16
	// XID is the inner message's, which must be the outer one's; zero is the outer one's.
	XID     uint32
	Message Message
}

// Experimenter is an experimenter's message that the package does not model.
type Experimenter struct {
	Experimenter, ExpType uint32
	Data                  []byte
}

// Type implements Message.
func (*BundleControl) Type() MsgType { return TypeExperimenter }

// Type implements Message.
func (*BundleAdd) Type() MsgType { return TypeExperimenter }

// Type implements Message.
func (*Experimenter) Type() MsgType { return TypeExperimenter }

func (m *BundleControl) appendBody(b []byte, _ uint32) ([]byte, error) {
	b = be.AppendUint32(be.AppendUint32(b, ExperimenterONF), onfBundleControl)
	b = be.AppendUint32(b, m.BundleID)
	return be.AppendUint16(be.AppendUint16(b, uint16(m.Ctrl)), m.Flags), nil
}

func (m *BundleAdd) appendBody(b []byte, xid uint32) ([]byte, error) {
	if err := bundleable(m.Message); err != nil {
		return nil, err
	}
	if m.XID != 0 && m.XID != xid {
		return nil, fmt.Errorf("bundle-add: inner xid %d, outer xid %d", m.XID, xid)
	}
	b = be.AppendUint32(be.AppendUint32(b, ExperimenterONF), onfBundleAdd)
	b = be.AppendUint32(b, m.BundleID)
	b = be.AppendUint16(append(b, 0, 0), m.Flags)
	return Append(b, xid, m.Message)
}

// bundleable keeps bundles out of bundles, so that decoding does not nest.
func bundleable(m Message) error {
	if m == nil || m.Type() == TypeExperimenter {
		return fmt.Errorf("bundle-add: %T cannot be in a bundle", m)
	}
	return nil
}

func (m *Experimenter) appendBody(b []byte, _ uint32) ([]byte, error) {
	return append(be.AppendUint32(be.AppendUint32(b, m.Experimenter), m.ExpType), m.Data...), nil
}

func decodeExperimenter(xid uint32, b []byte) (Message, error) {
	if len(b) < 8 {
		return nil, tooShort("experimenter", len(b), 8)
	}
	id, t, rest := be.Uint32(b), be.Uint32(b[4:]), b[8:]
	switch {
	case id == ExperimenterONF && t == onfBundleControl:
		if len(rest) < 8 {
			return nil, tooShort("bundle-control", len(rest), 8)
		}
		return &BundleControl{ // properties, if any, are ignored: none is defined for 1.3
			BundleID: be.Uint32(rest), Ctrl: BundleCtrl(be.Uint16(rest[4:])), Flags: be.Uint16(rest[6:]),
		}, nil
	case id == ExperimenterONF && t == onfBundleAdd:
		return decodeBundleAdd(xid, rest)
	}
	return &Experimenter{Experimenter: id, ExpType: t, Data: clone(rest)}, nil
}

func decodeBundleAdd(xid uint32, b []byte) (Message, error) {
	if len(b) < 8+HeaderLen {
		return nil, tooShort("bundle-add", len(b), 8+HeaderLen)
	}
	m := &BundleAdd{BundleID: be.Uint32(b), Flags: be.Uint16(b[6:])}
	inner := b[8:]
	n, err := FrameLength(inner)
	if err != nil {
		return nil, err
	}
	if MsgType(inner[1]) == TypeExperimenter {
		return nil, fmt.Errorf("bundle-add: an experimenter's message in a bundle")
	}
	if n > len(inner) { // after it come properties, of which 1.3 defines none
		return nil, tooShort("bundle-add", len(inner), n)
	}
	if m.XID, m.Message, err = Decode(inner[:n]); err != nil {
		return nil, fmt.Errorf("bundle-add: %w", err)
	}
	if m.XID != xid {
		return nil, fmt.Errorf("bundle-add: inner xid %d, outer xid %d", m.XID, xid)
	}
	return m, nil
}
