package pipeline

import (
	"github.com/flowtap/flowtap/openflow"
	"github.com/flowtap/flowtap/topology"
)

// tellRate is how many frames a second of one port a switch sends to the controller, in which all that
// it learns of the port is told many times over. As many may come at once.
const tellRate = 20

// tell gives the actions that let the controller know of a port's frame, which goes on as if there were
// none. What the port sends above tellRate is dropped by a meter of its own, in the datapath: neither the
// switch's queue to the controller nor the connection has room for a flood, and other ports need both.
func (b *builder) tell(p *Port, here openflow.PortNo) []openflow.Action {
	kind := KindArrive
	if p.Kind == topology.KindMonitor || guarded(p) && claims(p) != 0 {
		kind = KindLearn
	}
	f := openflow.Flow{Table: TableTell, Priority: prioClassify, Cookie: Cookie(kind, p.Num), Match: match(inPort(here)),
		Meter: TellMeterOf(p.Num), Apply: []openflow.Action{openflow.Output{Port: openflow.PortController, MaxLen: 128}}} // enough to read addresses
	if b.once(f) {
		b.meters = append(b.meters, openflow.Meter{ID: f.Meter, Flags: openflow.MeterStat | openflow.MeterPKTPS,
			Bands: []openflow.MeterBand{{Type: openflow.BandDrop, Rate: tellRate}}})
	}
	return apart(openflow.Resubmit{Port: openflow.PortInPort, Table: TableTell})
}
