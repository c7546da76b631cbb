package controller

import (
	"slices"

	"github.com/flowtap/flowtap/topology"
)

func samePortStatus(a, b topology.PortStatus) bool {
	return a.State == b.State && a.Node == b.Node && a.OFPort == b.OFPort && slices.Equal(a.Attachments, b.Attachments) &&
		slices.Equal(a.LearnedMACs, b.LearnedMACs) && slices.Equal(a.LearnedIPs, b.LearnedIPs)
}
