// Package eval computes the rows of a program's tables. A policy has no recursion, so one pass over the
// tables in their order is enough, and a change of facts is carried through the same order: of each row
// it is known in how many ways it follows (its derivations), so what a change adds and takes away is exact.
// The package is pure; an Engine is for one caller at a time.
package eval
