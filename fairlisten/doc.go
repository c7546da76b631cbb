// Package fairlisten is a listener that strangers cannot take from others. Everybody may connect, so
// what it shares out, connections that have not yet shown who they are, it shares by source address:
// whoever has few is served before whoever has many.
//
// A connection goes through three states. It *waits* in the listener, which costs a file descriptor
// and nothing else, until there is room for it. It is *new* from Accept on; that is when it costs a
// goroutine, buffers and cryptography. It is *settled* when its owner calls Settle, because the other
// side has shown that it means well: a switch that shook hands, a request with a token. New
// connections never cost a settled one its place.
//
// When there is no room for one more new connection, and the address it comes from has fewer than
// another, the oldest of the address that has most is closed; so is any that has been new for
// longer than a second while others wait. Addresses are IPv4 addresses and IPv6 networks of 64 bits.
package fairlisten
