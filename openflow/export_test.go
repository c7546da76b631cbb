package openflow

import "strings"

// FlowCases are flows with everything that the package knows, by what they are about.
func FlowCases() map[string]Flow { return flowCases() }

// Sent are messages in hexadecimal, and what ovs-ofctl prints of them.
func Sent() map[string][2]string {
	out := map[string][2]string{}
	for name, l := range sent {
		out[name] = [2]string{strings.Join(strings.Fields(l.bytes), ""), l.print}
	}
	return out
}
