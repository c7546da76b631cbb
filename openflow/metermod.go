package openflow

import (
	"fmt"

	"github.com/netrack/openflow/ofp"
)

// MeterCommand is what a MeterMod does (OpenFlow 1.3.5 §7.3.4.4).
type MeterCommand uint16

// Meter-mod commands.
const (
	MeterAdd MeterCommand = iota
	MeterModify
	MeterDelete
)

// Meter flags: the unit of Rate, whether Burst counts, whether statistics are kept.
const (
	MeterKBPS  uint16 = 1 << 0 // kilobits a second
	MeterPKTPS uint16 = 1 << 1 // packets a second
	MeterBurst uint16 = 1 << 2
	MeterStat  uint16 = 1 << 3
)

// MeterAll stands for every meter in deletes and statistics requests.
const MeterAll uint32 = 0xffffffff

// BandDrop is the band type that drops what is above the rate.
const BandDrop = uint16(ofp.MeterBandTypeDrop)

// A Meter is a meter without its counters.
type Meter struct {
	ID    uint32
	Flags uint16
	Bands []MeterBand
}

// A MeterBand acts on what is above Rate, in the unit of the meter's flags. Burst, in kilobits or
// packets, counts with MeterBurst only; without it Open vSwitch takes one second's worth of Rate, and says so when asked.
type MeterBand struct {
	Type        uint16
	Rate, Burst uint32
	// Extra is what follows in a band that is not a drop band, raw.
	Extra []byte
}

// MeterMod adds, changes or deletes a meter. It cannot be in a bundle.
type MeterMod struct {
	Command MeterCommand
	Meter   Meter
}

// Type implements Message.
func (*MeterMod) Type() MsgType { return TypeMeterMod }

func (m *MeterMod) appendBody(b []byte, _ uint32) ([]byte, error) {
	b = be.AppendUint16(b, uint16(m.Command))
	b = be.AppendUint16(b, m.Meter.Flags)
	b = be.AppendUint32(b, m.Meter.ID)
	return appendBands(b, m.Meter.Bands)
}

func decodeMeterMod(b []byte) (Message, error) {
	if len(b) < 8 {
		return nil, tooShort("body", len(b), 8)
	}
	m := &MeterMod{Command: MeterCommand(be.Uint16(b))}
	m.Meter.Flags = be.Uint16(b[2:])
	m.Meter.ID = be.Uint32(b[4:])
	var err error
	m.Meter.Bands, err = decodeBands(b[8:])
	return m, err
}

func appendBands(b []byte, bands []MeterBand) ([]byte, error) {
	for i := range bands {
		k := &bands[i]
		start := len(b)
		b = be.AppendUint16(b, k.Type)
		b = be.AppendUint32(append(b, 0, 0), k.Rate)
		b = be.AppendUint32(b, k.Burst)
		switch {
		case k.Type == BandDrop && len(k.Extra) == 0:
			b = append(b, zeros[:4]...)
		case k.Type != BandDrop && len(k.Extra)%8 == 4:
			b = append(b, k.Extra...)
		default:
			return nil, fmt.Errorf("meter band type %d with %d extra bytes", k.Type, len(k.Extra))
		}
		if err := putLen16(b, start, start+2); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func decodeBands(b []byte) ([]MeterBand, error) {
	var bands []MeterBand
	for len(b) > 0 {
		elem, rest, err := element("meter band", b, 2, 16)
		if err != nil {
			return nil, err
		}
		k := MeterBand{Type: be.Uint16(elem), Rate: be.Uint32(elem[4:]), Burst: be.Uint32(elem[8:])}
		if k.Type != BandDrop {
			k.Extra = clone(elem[12:])
		} else if len(elem) != 16 {
			return nil, fmt.Errorf("drop band of length %d", len(elem))
		}
		bands, b = append(bands, k), rest
	}
	return bands, nil
}
