// Package replica makes several flowtapd on one etcd cluster one controller.
//
//   - member: this replica's lease and registration
//   - view: what etcd says of the replicas, the leader and the masters of switches
//   - links: a connection to every other replica, over which it tells what switches it has
//   - board: the switches connected here, their roles, and relays to them
//   - masters: the leader gives each switch a master (Assign decides, purely)
//   - relays: the leader's connections to switches, each through the switch's master
//
// Nothing here trusts a clock. That a replica does not lead any more, or is no switch's master, is
// decided by somebody who knows better: etcd refuses a write whose compare fails, a switch a message
// of an older generation's master, a master a relay of an older leader.
package replica
