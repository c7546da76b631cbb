package controller

import (
	"testing"

	"github.com/flowtap/flowtap/flowtap"
	"github.com/flowtap/flowtap/topology"
)

func redirectTap(src, dst string) flowtap.Tap {
	t := copyTap(src, dst, flowtap.Both)
	t.Action = flowtap.Redirect
	return t
}

// TestALinkThatGoesDown: a contract says which of its ports has no link, and comes back by itself.
func TestALinkThatGoesDown(t *testing.T) {
	t.Parallel()
	l := shop(t, quick())
	l.monitor("back")
	l.port("ips", topology.Port{Kind: topology.KindMonitor, Interface: "ips", ReturnPort: "back"})
	l.sws[0].AddPort(11, "back")
	l.sws[1].AddPort(11, "ips")
	l.tap("t1", copyTap("web", "ids", flowtap.Both))
	l.tap("t2", redirectTap("db", "ips"))
	l.becomes("t1", flowtap.TapActive, "")
	l.becomes("t2", flowtap.TapActive, "")
	for _, c := range []struct{ port, tap, reason string }{
		{"ids", "t1", "monitor ids's port is down"},
		{"web", "t1", "port web is down"},
		{"ips", "t2", "monitor ips's port is down"},
		{"back", "t2", "return port back is down"},
		{"db", "t2", "port db is down"},
	} {
		was := l.portStatus(c.port)
		for range 2 {
			l.setLink(c.port, true)
			l.becomes(c.tap, flowtap.TapDegraded, c.reason)
			down := was
			down.State = topology.PortDown
			down.Attachments = []topology.Attachment{{Node: was.Node, OFPort: was.OFPort, Down: true}}
			l.portBecomes(c.port, down)
			l.quiet()
			l.setLink(c.port, false)
			l.becomes(c.tap, flowtap.TapActive, "")
			l.portBecomes(c.port, was)
			l.quiet()
		}
	}
	// A link that is down when the switch connects, and a contract that was never active.
	for _, sw := range l.sws {
		sw.Disconnect()
	}
	l.setLink("web", true)
	l.connect()
	l.becomes("t1", flowtap.TapDegraded, "port web is down")
	above := copyTap("web", "ids", flowtap.In)
	above.Priority++
	l.tap("t3", above)
	l.becomes("t3", flowtap.TapPending, "port web is down")
	l.setLink("web", false)
	l.becomes("t3", flowtap.TapActive, "")
	l.quiet()
}

// setLink takes a port's link down or up where it is.
func (l *lab) setLink(port string, down bool) {
	l.t.Helper()
	for _, sw := range l.sws {
		if no := sw.PortNamed(port); no != 0 {
			sw.SetPortDown(no, down)
		}
	}
}
