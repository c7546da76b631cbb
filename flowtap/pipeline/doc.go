// Package pipeline turns what should be into flows: the table map of a node's br-int as one
// declared value, and Desired, which says every flow and group that a switch should hold for a
// given world. It is pure; Desired over everything is the reference for every shortcut.
package pipeline
