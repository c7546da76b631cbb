package openflow

// GroupCommand is what a GroupMod does (OpenFlow 1.3.5 §7.3.4.2).
type GroupCommand uint16

// Group-mod commands. To modify replaces the group whole.
const (
	GroupAdd GroupCommand = iota
	GroupModify
	GroupDelete
)

// GroupMod adds, replaces or deletes a group (with GroupAll: every group, and with them the flows
// that output to them).
type GroupMod struct {
	Command GroupCommand
	Group   Group
}

// Type implements Message.
func (*GroupMod) Type() MsgType { return TypeGroupMod }

func (m *GroupMod) appendBody(b []byte, _ uint32) ([]byte, error) {
	b = be.AppendUint16(b, uint16(m.Command))
	b = append(b, byte(m.Group.Type), 0)
	b = be.AppendUint32(b, uint32(m.Group.ID))
	return appendBuckets(b, m.Group.Buckets)
}

func decodeGroupMod(b []byte) (Message, error) {
	if len(b) < 8 {
		return nil, tooShort("body", len(b), 8)
	}
	m := &GroupMod{Command: GroupCommand(be.Uint16(b))}
	m.Group.Type = GroupType(b[2])
	m.Group.ID = GroupID(be.Uint32(b[4:]))
	var err error
	m.Group.Buckets, err = decodeBuckets(b[8:])
	return m, err
}

func appendBuckets(b []byte, buckets []Bucket) ([]byte, error) {
	for i := range buckets {
		k := &buckets[i]
		start := len(b)
		b = be.AppendUint16(append(b, 0, 0), k.Weight)
		b = be.AppendUint32(b, uint32(k.WatchPort))
		b = be.AppendUint32(b, uint32(k.WatchGroup))
		var err error
		if b, err = appendActions(append(b, zeros[:4]...), k.Actions); err != nil {
			return nil, err
		}
		if err := putLen16(b, start, start); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func decodeBuckets(b []byte) ([]Bucket, error) {
	var buckets []Bucket
	for len(b) > 0 {
		elem, rest, err := element("bucket", b, 0, 16)
		if err != nil {
			return nil, err
		}
		k := Bucket{
			Weight: be.Uint16(elem[2:]), WatchPort: PortNo(be.Uint32(elem[4:])), WatchGroup: GroupID(be.Uint32(elem[8:])),
		}
		if k.Actions, err = decodeActions(elem[16:]); err != nil {
			return nil, err
		}
		buckets, b = append(buckets, k), rest
	}
	return buckets, nil
}
