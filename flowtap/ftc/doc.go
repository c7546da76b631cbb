// Package ftc is the FlowTap compiler: a policy in Datalog and the facts about a cloud become the taps
// that the policy wants. The language is package lang's, what a policy means program's, the rows eval's;
// here rows become contracts, with names that stay the same for as long as a contract does. The package is
// pure.
package ftc
