// Package trace tells what becomes of one frame, in the words of those who made the objects: nodes,
// ports, taps and monitors. It builds the frame from a description (Build), has package ofsim execute
// it on the flows that switches should hold (Run), and names what came of it (Explain).
package trace
