// Package controller keeps switches at what the store wants of them. It is timing: what a flow
// should be, when a switch differs and in which order changes go is decided elsewhere
// (flowtap/pipeline, openflow/flowset, topology); here decisions meet connections and clocks.
//
//   - session: a switch's connection, from handshake to loss
//   - observe: what switches report becomes port and node status in the store
//   - planner: the one goroutine that owns the world; store changes make switches due
//   - round: due switches are changed together, phase by phase, and proven in their datapaths
//   - tunnels: probes keep tunnels warm and tell which are alive
//   - audit: what switches really hold is read back, compared and counted
package controller
