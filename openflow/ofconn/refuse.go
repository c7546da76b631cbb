package ofconn

import (
	"github.com/netrack/openflow/ofp"

	"github.com/flowtap/flowtap/openflow"
)

// The errors that a controller has reason to send (OpenFlow 1.3.5 §7.5.4.1 and §7.5.4.2).
const (
	errHelloFailed = uint16(ofp.ErrTypeHelloFailed)
	incompatible   = uint16(ofp.ErrCodeHelloFailedIncompatible)
	errBadRequest  = uint16(ofp.ErrTypeBadRequest)
	badType        = uint16(ofp.ErrCodeBadRequestBadType)
	badLen         = uint16(ofp.ErrCodeBadRequestLen)
)

// The refusal of a role (§7.5.4.12).
const (
	errRoleRequestFailed = uint16(ofp.ErrTypeRoleRequestFailed)
	stale                = uint16(ofp.ErrCodeRoleRequestFailedStale)
)

// sendError tells the switch what is wrong with its message, of which it gets the first 64 bytes
// back. A hello refused gets a text instead.
func (c *Conn) sendError(xid uint32, frame []byte, errType, code uint16) {
	data := frame[:min(len(frame), 64)]
	if errType == errHelloFailed {
		data = []byte("this controller speaks OpenFlow 1.3 only")
	}
	c.enqueueUrgent(xid, &openflow.Error{ErrType: errType, Code: code, Data: data})
}
