// Package ofconn is one live OpenFlow 1.3 connection to a switch that dialled us: handshake,
// keepalive, requests matched to their answers, atomic bundles, and an end that is always
// explained. It decides nothing about flows.
//
// A Conn owns two goroutines. The reader decodes messages in the order they came, gives answers
// to whoever asked and everything else to Events. The writer takes encoded messages from one
// bounded queue and flushes whenever that queue is empty, so that a burst costs one system call
// and a lone message does not wait. Neither ever waits for a user of the Conn: a slow consumer of
// events costs itself packet-ins, and a switch that stops reading costs its own connection.
// (A third goroutine runs for as long as events overflow their channel.)
//
// Every end of a connection has a reason, see Err. All methods may be called from any goroutine.
package ofconn
