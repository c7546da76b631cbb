package openflow

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/netrack/openflow/ofp"
)

// Error says that the peer could not do what it was asked (OpenFlow 1.3.5 §7.5.4). It implements
// the error interface. Its xid is that of the message it answers.
type Error struct {
	// ErrType and Code are the numbers of the specification. ErrType 0xffff is an experimenter's
	// error: then Code is the experimenter's exp_type and Experimenter says whose.
	ErrType, Code uint16
	Experimenter  uint32
	// Data is at least the first 64 bytes of the message that failed, or a text for ErrType 0.
	Data []byte
}

// ErrTypeExperimenter is the ErrType of an error that an experimenter defined.
const ErrTypeExperimenter = uint16(ofp.ErrTypeExperimenter)

// Codes of bundle errors, with ErrTypeExperimenter and ExperimenterONF (EXT-230).
const (
	BundleErrUnknown uint16 = iota + 2300
	BundleErrPerm
	BundleErrBadID
	BundleErrExist
	BundleErrClosed
	BundleErrOutOfBundles
	BundleErrBadType
	BundleErrBadFlags
	BundleErrMsgBadLen
	BundleErrMsgBadXID
	BundleErrMsgUnsup
	BundleErrMsgConflict
	BundleErrMsgTooMany
	BundleErrMsgFailed
	BundleErrTimeout
	BundleErrInProgress
)

// experimenterErrors are the texts for experimenters' errors that Open vSwitch sends on 1.3.
var experimenterErrors = map[uint32]map[uint16]string{
	ExperimenterONF: {
		BundleErrUnknown: "bundle failed: unspecified", BundleErrPerm: "bundle failed: no permission",
		BundleErrBadID: "bundle failed: no such bundle", BundleErrExist: "bundle failed: bundle exists already",
		BundleErrClosed: "bundle failed: bundle is closed", BundleErrOutOfBundles: "bundle failed: too many bundles",
		BundleErrBadType: "bundle failed: unknown control type", BundleErrBadFlags: "bundle failed: bad flags",
		BundleErrMsgBadLen:   "bundle failed: bad length of a message in it",
		BundleErrMsgBadXID:   "bundle failed: inner and outer xid differ",
		BundleErrMsgUnsup:    "bundle failed: a message that bundles do not support",
		BundleErrMsgConflict: "bundle failed: messages that cannot be in one bundle",
		BundleErrMsgTooMany:  "bundle failed: too many messages",
		BundleErrMsgFailed:   "bundle failed: a message in it failed",
		BundleErrTimeout:     "bundle failed: timeout", BundleErrInProgress: "bundle failed: another is in progress",
		2600: "bad instruction: duplicate", 4250: "bad action: set_field with a mask",
	},
	ExperimenterNicira: {
		2: "invalid NXM match", 3: "unknown or wrong NXM field",
		4: "must-be-zero field is not zero", 10: "an error that OpenFlow 1.3 cannot say",
		11: "must-be-zero argument of an action is not zero", 12: "hardware error",
		13: "no such table", 15: "bad conjunction",
		34: "resume is not supported", 35: "continuation is stale",
		36: "statistics are not configured", 6: "flow monitor exists already",
		7: "flow monitor has bad flags", 8: "no such flow monitor",
		9: "flow monitor reply has a bad event",
	},
}

// Type implements Message.
func (*Error) Type() MsgType { return TypeError }

// Error is a readable text with the numbers in it, such as
// "switch says: bad match bad prereq (type 4, code 9)".
func (m *Error) Error() string {
	if m.ErrType == ErrTypeExperimenter {
		s, ok := experimenterErrors[m.Experimenter][m.Code]
		if !ok {
			s = "experimenter's error"
		}
		return fmt.Sprintf("switch says: %s (experimenter 0x%08x, code %d)", s, m.Experimenter, m.Code)
	}
	e := ofp.Error{Type: ofp.ErrType(m.ErrType), Code: ofp.ErrCode(m.Code)}.Error()
	s := words(e)
	if strings.ContainsRune(e, '(') { // netrack's text for a code that it does not know
		s = strings.TrimPrefix(words(ofp.ErrType(m.ErrType).String()), "type ")
		if strings.ContainsRune(s, '(') {
			s = "unknown error"
		}
	}
	s = fmt.Sprintf("switch says: %s (type %d, code %d)", s, m.ErrType, m.Code)
	if m.ErrType == uint16(ofp.ErrTypeHelloFailed) && len(m.Data) > 0 {
		s += fmt.Sprintf(": %q", text(m.Data))
	}
	return s
}

// words turns ErrCodeBadMatchBadPrereq into "bad match bad prereq".
func words(s string) string {
	s = strings.TrimPrefix(strings.TrimPrefix(s, "Err"), "Code")
	var b strings.Builder
	for i, r := range s {
		if i > 0 && unicode.IsUpper(r) && unicode.IsLower(rune(s[i-1])) {
			b.WriteByte(' ')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

func (m *Error) appendBody(b []byte, _ uint32) ([]byte, error) {
	b = be.AppendUint16(be.AppendUint16(b, m.ErrType), m.Code)
	if m.ErrType == ErrTypeExperimenter {
		b = be.AppendUint32(b, m.Experimenter)
	} else if m.Experimenter != 0 {
		return nil, fmt.Errorf("experimenter 0x%08x in error type %d", m.Experimenter, m.ErrType)
	}
	return append(b, m.Data...), nil
}

func decodeError(b []byte) (Message, error) {
	if len(b) < 4 {
		return nil, tooShort("body", len(b), 4)
	}
	m := &Error{ErrType: be.Uint16(b), Code: be.Uint16(b[2:])}
	b = b[4:]
	if m.ErrType == ErrTypeExperimenter {
		if len(b) < 4 {
			return nil, tooShort("experimenter error", len(b), 4)
		}
		m.Experimenter = be.Uint32(b)
		b = b[4:]
	}
	m.Data = clone(b)
	return m, nil
}
