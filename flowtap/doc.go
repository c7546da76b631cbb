// Package flowtap says what a contract means: FlowTap(SRC, DST, Flow_Syntax, Action). A Tap names
// a target port, a monitor and the flow between them; a Match is that flow in one canonical form,
// whichever way it was spelled. The package is pure.
package flowtap
