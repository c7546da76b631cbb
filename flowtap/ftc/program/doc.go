// Package program says what a policy means: which table each name is, which column each argument,
// in what order tables follow from each other. Check finds everything that is wrong with a policy, in one
// run; a Program is a policy with which nothing is wrong. The package is pure.
package program
