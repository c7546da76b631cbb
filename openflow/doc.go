// Package openflow turns OpenFlow 1.3.5 messages into bytes and back, strictly: every length is
// checked, unknown content is kept raw, and no input panics. It never dials, holds no state and
// is safe for concurrent use.
//
// Constants, field numbers and error texts come from github.com/netrack/openflow. The codec is
// our own, because the hot messages (flow-mod, group-mod, packet-in, packet-out, flow-stats) run
// once per flow and because every decoder here faces bytes from a peer.
//
// Nicira extensions (NXM fields, resubmit, controller, truncating output, register output) are
// those that Open vSwitch accepts on OpenFlow 1.3 connections; bundles follow ONF EXT-230.
package openflow
