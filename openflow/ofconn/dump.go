package ofconn

import (
	"context"
	"errors"
	"fmt"

	"github.com/flowtap/flowtap/openflow"
)

// DumpFlows reads all flows of all tables, with counters, in the switch's order.
func (c *Conn) DumpFlows(ctx context.Context) ([]openflow.FlowStats, error) {
	return c.FlowStats(ctx, openflow.FlowFilter{Table: openflow.TableAll})
}

// FlowStats reads the flows that the filter chooses. Beware of its zero Table, which is table 0.
func (c *Conn) FlowStats(ctx context.Context, f openflow.FlowFilter) ([]openflow.FlowStats, error) {
	return list[openflow.FlowStatsReply](ctx, c, openflow.FlowStatsRequest(f))
}

// DumpGroups reads all groups.
func (c *Conn) DumpGroups(ctx context.Context) ([]openflow.Group, error) {
	return list[openflow.GroupDescReply](ctx, c, openflow.GroupDescRequest{})
}

// GroupStats reads the counters of one group, or of all with openflow.GroupAll.
func (c *Conn) GroupStats(ctx context.Context, id openflow.GroupID) ([]openflow.GroupStats, error) {
	return list[openflow.GroupStatsReply](ctx, c, openflow.GroupStatsRequest{Group: id})
}

// DumpMeters reads all meters.
func (c *Conn) DumpMeters(ctx context.Context) ([]openflow.Meter, error) {
	return list[openflow.MeterConfigReply](ctx, c, openflow.MeterConfigRequest{Meter: openflow.MeterAll})
}

// MeterStats reads the counters of one meter, or of all with openflow.MeterAll.
func (c *Conn) MeterStats(ctx context.Context, id uint32) ([]openflow.MeterStats, error) {
	return list[openflow.MeterStatsReply](ctx, c, openflow.MeterStatsRequest{Meter: id})
}

// PortStats reads the counters of one port, or of all with openflow.PortAny.
func (c *Conn) PortStats(ctx context.Context, no openflow.PortNo) ([]openflow.PortStats, error) {
	return list[openflow.PortStatsReply](ctx, c, openflow.PortStatsRequest{Port: no})
}

// MonitorFlows has every change that others make to flows reported, as *openflow.MultipartReply with an
// openflow.FlowMonitorReply in Events, from the switch's answer on. Ours are reported as
// openflow.FlowAbbreviated, and where reports have piled up at the switch sometimes in full. An
// *openflow.Error says that the switch has no such monitor.
//
// It takes the place of the monitor of whoever spoke to the switch by this connection before, see Relay.
func (c *Conn) MonitorFlows(ctx context.Context) error {
	none := (*MessageError)(nil)
	if err := c.SendAll(ctx, []openflow.Message{openflow.CancelFlowMonitor(1)}); err != nil && !errors.As(err, &none) {
		return err
	}
	_, err := list[openflow.FlowMonitorReply](ctx, c, openflow.FlowMonitorRequest{ID: 1, Table: openflow.TableAll,
		Flags: openflow.MonitorAdd | openflow.MonitorDelete | openflow.MonitorModify})
	return err
}

// list asks for a multipart body of type L.
func list[L openflow.MultipartBody](ctx context.Context, c *Conn, ask openflow.MultipartBody) (L, error) {
	var none L
	m, err := c.request(ctx, &openflow.MultipartRequest{Body: ask})
	if err != nil {
		return none, fmt.Errorf("%v request: %w", ask.Kind(), err)
	}
	reply, ok := m.(*openflow.MultipartReply)
	if !ok {
		return none, fmt.Errorf("%v request: %w", ask.Kind(), unexpected(m))
	}
	body, ok := reply.Body.(L)
	if !ok {
		return none, fmt.Errorf("%v request: %w: answered by %v", ask.Kind(), ErrProtocol, reply.Body.Kind())
	}
	return body, nil
}

// readDesc reads the description. A switch may refuse it; nothing depends on it.
func (c *Conn) readDesc(ctx context.Context) error {
	desc, err := list[openflow.Desc](ctx, c, openflow.DescRequest{})
	if refused := (*openflow.Error)(nil); errors.As(err, &refused) {
		return nil
	}
	c.desc = desc
	return err
}

func (c *Conn) readPorts(ctx context.Context) (err error) {
	c.ports, err = list[openflow.PortDescReply](ctx, c, openflow.PortDescRequest{})
	return err
}
