package controller

import (
	"slices"

	"github.com/flowtap/flowtap/topology"
)

func samePortStatus(a, b topology.PortStatus) bool {
	return a.State == b.State && sameButState(a, b)
}

// sameButState leaves out what the planner derives.
func sameButState(a, b topology.PortStatus) bool {
	return topology.SameAttachments(a, b) &&
		slices.Equal(a.LearnedMACs, b.LearnedMACs) && slices.Equal(a.LearnedIPs, b.LearnedIPs)
}
