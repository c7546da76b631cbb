// Package policy keeps the taps of policies at what the policies want of the world. The leader runs it. What a policy
// wants, whether that can be, and what is to be changed are functions of the world; here they meet the store.
//
//   - world: all objects as the store has them
//   - facts: what of them the policies of a project may read
//   - compiled: one policy, kept up with the facts
//   - placer, loads: where contracts go that name no monitor
//   - decide: wanted contracts against the taps that there are: what to change, or what is wrong
//   - runner: the one goroutine that does all this, one change of one policy at a time
//   - rehearse: what it would do
//
// A policy whose taps cannot be as it wants them keeps those that it has, all of them but those of ports that are no more,
// and its status says why.
package policy
