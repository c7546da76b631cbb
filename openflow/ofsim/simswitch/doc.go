// Package simswitch is a switch for tests of a controller: it speaks OpenFlow 1.3 over a
// connection as Open vSwitch does, with atomic bundles, meters and counters, and executes frames with
// ofsim. Several in one Fabric are joined by tunnels, so probes and sentinels arrive. A test can
// make it refuse, stall, lose its connection or its flows, and look at what it was told.
package simswitch
