package pipeline

import "github.com/flowtap/flowtap/openflow"

// The tables of br-int, or of the tunnel bridge where there are two (bridges.go). Numbers are fixed for ever and leave room between; goto only goes up.
const (
	TableClassify openflow.TableID = 0  // who sent this: a port, or a tunnel label
	TableSender   openflow.TableID = 5  // user metadata of senders on other nodes, by MAC
	TableComeback openflow.TableID = 8  // a monitor gives a frame back: metadata of its sender, by MAC
	TableReturn   openflow.TableID = 10 // was it redirected on its way out of a target
	TableReturnIn openflow.TableID = 12 // was it redirected on its way in to one
	TableAnswer   openflow.TableID = 14 // does it answer in an endpoint's name
	TableGuard    openflow.TableID = 20 // a port uses its own MAC only, also inside ARP and ND
	TableAddress  openflow.TableID = 25 // a port uses its own IPs only, also inside ARP and ND
	TableTarget   openflow.TableID = 27 // a port that declares no IP advertises nobody else's
	TableTapOut   openflow.TableID = 30 // contracts on frames that a target sends
	TableForward  openflow.TableID = 40 // where the frame goes: local port, node, flood
	TableFlood    openflow.TableID = 50 // contracts on flooded frames, once a destination
	TableTapIn    openflow.TableID = 60 // contracts on frames that a target receives
	TableEncap    openflow.TableID = 70 // label and send through the tunnel
	TableSpread   openflow.TableID = 75 // hash: which slice of a spread pool
	TableLimit    openflow.TableID = 76 // rates of contracts' copies
	TableSlice    openflow.TableID = 77 // which member that is
	TableCut      openflow.TableID = 78 // copies that are truncated, to a local monitor or its node
	TableGive     openflow.TableID = 79 // what it gets of the frame
	TableDeliver  openflow.TableID = 80 // copies to a local monitor
	TableOutput   openflow.TableID = 90 // to the port in reg1, never to the frame's own sender
	TableTell     openflow.TableID = 95 // the controller is told of a port's frame, at that port's own rate
)

// Registers of the pipeline. reg7 is the flood sub-stage; reg8 to reg15 belong to the user.
var (
	RegNetwork = openflow.FieldReg(0) // label of the frame's network
	RegOut     = openflow.FieldReg(1) // port number to deliver to
	RegSeenBy  = openflow.FieldReg(2) // label of the destination that has the frame already, and how: seenBits
	RegOrigin  = openflow.FieldReg(3) // where the frame comes from and how, originLocal and so on
	RegDeliver = openflow.FieldReg(4) // label of the monitor that a tunnelled copy is for; cut: of the destination
	RegLimited = openflow.FieldReg(4) // limit: number of the contract whose copy this is
	RegSender  = openflow.FieldReg(4) // number of the port that sent what a monitor gave back
	RegCopied  = openflow.FieldReg(5) // flood: label of the destination copied to last
	RegStage   = openflow.FieldReg(6) // flood: label of the destination being considered
	RegTarget  = openflow.FieldReg(7) // flood: number of the one target considered, 0 for all others
	RegClaims  = openflow.FieldReg(7) // guard, address: which addresses the port did not declare
)

// Values of RegOrigin.
const (
	originLocal    = 0
	originTunnel   = 1 // by tunnel, to one port
	originFlooded  = 2 // by tunnel, to all members here
	originFlooding = 3 // from here, on its way to other nodes' members
	originReturned = 4 // flooded, and given back by the monitor of targets' contracts: for those targets alone
	originAnswer   = 5 // by a monitor in an endpoint's name, to a destination that is known
	originDone     = 6 // given back, past all contracts, to a destination that is known
	originBehind   = 7 // given back, past all contracts, to a destination behind the gateway
	// originAccepted is added to what RegOrigin becomes in the next table, which takes it off: a frame
	// was given back by the member of a spread pool that it was sent to.
	originAccepted = 8
)

// RegSeenBy holds the label of the destination that a frame was at, in its low bits. Where the
// frame was given back by that destination, redirected on its way out of a target, seenVia is set.
// A frame that was redirected on its way in has passed all that is in its way: seenAll alone.
const (
	seenLabel = 1<<24 - 1
	seenVia   = 1 << 24
	seenAll   = 1 << 25
)

// Bits of RegClaims: frames of such a port are checked against what other ports declare.
const (
	claimsMAC = 1
	claimsIP  = 2
)

// A Table declares what a table may look at, what it may change and where it may lead. Generated
// flows that step outside fail a test.
type Table struct {
	ID   openflow.TableID
	Name string
	// Context lists the registers and context fields that flows may match. Contract tables match
	// every field of a frame besides.
	Context  []openflow.Field
	Contract bool
	// Next lists the tables reached by goto, Resubmits those looked up on the way, by groups too.
	Next, Resubmits []openflow.TableID
	// Miss says what happens to a frame that no flow matches.
	Miss string
}

// Tables is the map of the pipeline, in order.
var Tables = []Table{
	{ID: TableClassify, Name: "classify", Context: []openflow.Field{openflow.FieldInPort, openflow.FieldTunnelID, openflow.FieldPktMark, openflow.FieldVLANVID, openflow.FieldEthType},
		Next: []openflow.TableID{TableSender, TableComeback, TableGuard, TableTapOut, TableForward, TableDeliver}, Resubmits: []openflow.TableID{TableComeback, TableTell}, Miss: "drop: nobody's port"},
	{ID: TableSender, Name: "sender", Context: []openflow.Field{RegNetwork, openflow.FieldEthSrc},
		Next: []openflow.TableID{TableForward}, Miss: "forward"},
	{ID: TableComeback, Name: "comeback", Context: []openflow.Field{RegNetwork, openflow.FieldEthSrc},
		Next: []openflow.TableID{TableReturn}, Miss: "return"},
	{ID: TableReturn, Name: "return", Context: []openflow.Field{RegNetwork, openflow.FieldInPort}, Contract: true,
		Next: []openflow.TableID{TableReturnIn, TableForward}, Resubmits: []openflow.TableID{TableSpread}, Miss: "return-in"},
	{ID: TableReturnIn, Name: "return-in", Context: []openflow.Field{RegNetwork, RegOrigin, openflow.FieldInPort}, Contract: true,
		Next: []openflow.TableID{TableAnswer, TableForward}, Resubmits: []openflow.TableID{TableTapIn, TableSpread}, Miss: "answer"},
	{ID: TableAnswer, Name: "answer", Context: []openflow.Field{RegNetwork, RegOrigin, openflow.FieldInPort}, Contract: true,
		Next: []openflow.TableID{TableForward}, Resubmits: []openflow.TableID{TableSpread, TableTell}, Miss: "drop: not redirected"},
	{ID: TableGuard, Name: "guard", Context: []openflow.Field{openflow.FieldInPort, RegNetwork, RegClaims}, Contract: true,
		Next: []openflow.TableID{TableAddress}, Resubmits: []openflow.TableID{TableTell}, Miss: "drop: spoofed"},
	{ID: TableAddress, Name: "address", Context: []openflow.Field{openflow.FieldInPort, RegNetwork, RegClaims}, Contract: true,
		Next: []openflow.TableID{TableTarget, TableTapOut, TableForward}, Resubmits: []openflow.TableID{TableTell}, Miss: "drop: spoofed"},
	{ID: TableTarget, Name: "target", Context: []openflow.Field{openflow.FieldInPort, RegNetwork, RegClaims}, Contract: true,
		Next: []openflow.TableID{TableTapOut, TableForward}, Resubmits: []openflow.TableID{TableTell}, Miss: "drop: spoofed"},
	{ID: TableTapOut, Name: "tap-out", Context: []openflow.Field{openflow.FieldInPort}, Contract: true,
		Next: []openflow.TableID{TableForward}, Resubmits: []openflow.TableID{TableForward, TableSpread, TableLimit, TableCut, TableOutput}, Miss: "forward"},
	{ID: TableForward, Name: "forward", Context: []openflow.Field{RegNetwork, RegOrigin, RegSeenBy, RegSender, openflow.FieldInPort, openflow.FieldEthDst, openflow.FieldPktMark},
		Next: []openflow.TableID{TableTapIn, TableEncap, TableOutput}, Resubmits: []openflow.TableID{TableFlood, TableTapIn, TableEncap, TableOutput}, Miss: "drop: not this node's network"},
	{ID: TableFlood, Name: "flood", Context: []openflow.Field{RegNetwork, RegSeenBy, RegSender, RegCopied, RegStage, RegTarget, openflow.FieldInPort}, Contract: true,
		Resubmits: []openflow.TableID{TableSpread, TableLimit, TableCut, TableOutput}, Miss: "no copy"},
	{ID: TableTapIn, Name: "tap-in", Context: []openflow.Field{RegOut, RegSeenBy, RegOrigin, RegSender, openflow.FieldInPort}, Contract: true,
		Next: []openflow.TableID{TableOutput}, Resubmits: []openflow.TableID{TableOutput, TableSpread, TableLimit, TableCut}, Miss: "output"},
	{ID: TableEncap, Name: "encap", Context: []openflow.Field{RegNetwork, RegSeenBy, RegSender, RegOrigin}, Miss: "drop"},
	{ID: TableSpread, Name: "spread", Next: []openflow.TableID{TableSlice}},
	{ID: TableLimit, Name: "limit", Context: []openflow.Field{RegLimited, RegPool, RegSeenBy}, Resubmits: []openflow.TableID{TableCut, TableOutput}, Miss: "drop"},
	{ID: TableSlice, Name: "slice", Context: []openflow.Field{RegPool}, Next: []openflow.TableID{TableGive}, Miss: "give to nobody"},
	{ID: TableCut, Name: "cut", Context: []openflow.Field{RegDeliver}, Miss: "drop"},
	{ID: TableGive, Name: "give", Context: []openflow.Field{RegPool, RegHow, RegSeenBy, RegNetwork}, Resubmits: []openflow.TableID{TableForward, TableOutput, TableLimit, TableCut}, Miss: "nothing"},
	{ID: TableDeliver, Name: "deliver", Context: []openflow.Field{RegDeliver}, Resubmits: []openflow.TableID{TableOutput}, Miss: "drop"},
	{ID: TableOutput, Name: "output", Context: []openflow.Field{RegOut, RegSender, openflow.FieldInPort, openflow.FieldEthSrc}, Miss: "drop"},
	{ID: TableTell, Name: "tell", Context: []openflow.Field{openflow.FieldInPort}, Miss: "nobody is told"},
}

// Priority bands. Within classify and forward one below each band is left free for epochs
// (gate.go), which re-state a flow there.
const (
	prioEpoch    = 65535 // classify: a whole-bridge epoch
	prioCut      = 150   // port bridge: a copy that is to be cut
	prioSentinel = 200   // classify: the sentinel of a datapath barrier
	prioClassify = 100
	prioInject   = 50 // classify: what comes from a monitor and is let in by nothing above
	prioNobody   = 2  // classify: nobody's frame
	prioMiss     = 1  // above the priority 0 that a switch in stand-alone mode fills by itself

	prioReturned  = 120
	prioFlooded   = 110
	prioUnicast   = 100
	prioMulticast = 90
	prioUnknownGW = 20 // unknown destinations in the presence of a gateway
	prioUnknown   = 10
)

// Bands of tap-in: contracts as such (tapPriority, at most 2,011), contracts on what was flooded and
// needs no copies any more, then what has passed all contracts or must not pass any.
const (
	prioReturnedMiss = 2900 // given back, and none of the port's contracts redirects it
	bandFlooded      = 3000
	prioOwn          = 6000
	prioSeenAll      = 6100
)

// Bands of the tables of return, below each of which come contracts by tapPriority.
const (
	bandOwn      = 5000 // of a target that the frame names by its MAC
	prioReturnMC = 4500 // return-in: multicast
	prioKnown    = 4000 // the MAC is another member's
	prioToSelf   = 3500 // return: it goes to the target whose frames may bear any MAC
	bandAny      = 0    // of a target whose frames may bear any MAC
	prioReturnUC = 5    // return-in: nobody's MAC
)

// tapPriority gives the priority of a contract's copying flow; one above it belongs to the flow
// that skips the copy for frames its destination has seen. The user's range is 0 to 1000.
func tapPriority(p int) uint16 { return uint16(10 + 2*p) }
