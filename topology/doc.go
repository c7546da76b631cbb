// Package topology says what the cloud is made of: nodes, networks and ports as the operator
// wants them, and where each port was last seen. It is pure: the same objects and the same
// switch events give the same graph, in whatever order they came.
package topology
