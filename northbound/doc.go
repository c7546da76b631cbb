// Package northbound serves FlowTap's REST interface: it translates between HTTP and the store
// and does nothing else. It never talks to a switch and never imports the controller; the two
// meet in the store, and the few things that only the controller knows are functions in Deps.
//
// What may surprise a caller: a Server answers ?watch and ?wait from a cache that Run feeds, so
// without Run (Serve calls it) those two hold until their deadline or answer 503.
package northbound
