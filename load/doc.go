// Package load gathers how busy nodes, ports and monitors are, while this replica leads: what agents and monitors report, and what
// switches count. It is kept in memory, smoothed, and summarised into the statuses of nodes and ports every few seconds.
package load
