// Package placement decides by which monitor each wanted flow is watched. Next is a pure function:
// what is wanted and how much of it there is, what monitors and nodes can bear, and where everything
// was before, give where it should be, what moves and why. Contracts turns the answer into taps.
//
// docs/PLACEMENT.md has the goal as a formula and says what is promised of it.
package placement
