// Package store is typed access to etcd: the objects that users want, what the controller observed
// of them, and one stream of every change.
//
// What surprises a caller:
//
//   - Wanted and observed are separate keys. A status write never changes an object's Revision and
//     never conflicts with an edit.
//   - Objects that come out of this package are shared between readers: what they point to (maps,
//     slices) must not be modified. Change a copy and write it.
//   - Every rule between objects (references, uniqueness, siblings) is checked inside the etcd
//     transaction that writes, so it also holds between processes that share a cluster.
//   - A write that fails with ErrOutcomeUnknown may have happened. Read before repeating it.
//
// The embedded server has no listener at all: it is called in process, so no port and no socket
// can collide with another controller on the machine, and nobody else can reach it.
package store
