// Package lang is the syntax of FlowTap policies, which is that of OpenStack Congress: source text to
// a tree with positions and back to text in one canonical layout. What the text means is package
// program's. docs/POLICY.md is the reference. The package is pure.
package lang
