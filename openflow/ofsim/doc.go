// Package ofsim is an OpenFlow switch in memory: it executes the flows and groups of a
// flowset.Set on frames and says where these come out, as Open vSwitch 3.1 would, and as a Trace how. A Fabric joins
// several switches by tunnels and patch ports.
//
// It is pure and deterministic: the same flows and frame give the same Result, and nothing is
// remembered from one frame to the next. A test runs random pipelines and frames through a real
// Open vSwitch beside it.
//
// What differs from a switch: a meter drops all or nothing, as SetDropping says; which link a multipath or a
// select group takes is a choice (see Choice); only IPv4 tunnels exist, and OFPP_NORMAL, OFPP_FLOOD and OFPP_ALL, the action set and
// actions that package openflow does not model are refused when a flow is added. Of two matching
// flows with one priority Open vSwitch takes any, ofsim the one whose key sorts first.
package ofsim
