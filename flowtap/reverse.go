package flowtap

// Reverse gives the flow of the replies: source and destination are exchanged in every field
// that has both. Where the match names the port that frames enter by, the reversed one names the
// port that they go to; only Cubes shows that. Reversing twice gives the match itself.
func (m Match) Reverse() Match {
	f := m.form()
	f.reverse()
	return f.match()
}

func (f *form) reverse() {
	for _, pair := range [][2]field{
		{fieldEthSrc, fieldEthDst}, {fieldIPSrc, fieldIPDst}, {fieldIPv6Src, fieldIPv6Dst},
		{fieldPortSrc, fieldPortDst}, {fieldARPSHA, fieldARPTHA}, {fieldARPSPA, fieldARPTPA},
		{fieldTunSrc, fieldTunDst},
	} {
		a, b := &f.cons[pair[0]], &f.cons[pair[1]]
		*a, *b = *b, *a
	}
	f.ports[0], f.ports[1] = f.ports[1], f.ports[0]
	f.inPort, f.toPort = f.toPort, f.inPort
}
