package northbound

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"
)

const (
	// maxDepth bounds how deep a body nests; the deepest object of the API needs three.
	maxDepth = 16
	// maxElements bounds the elements of one list or object; the longest of the API, a pool's members, are fewer.
	maxElements = 4096
)

// member is one member of a JSON object, its value undecoded.
type member struct {
	name  string
	value json.RawMessage
}

// scanObject reads a body that must be exactly one JSON object (RFC 8259), and gives its members in
// their order. Beyond what encoding/json refuses, it refuses duplicate names at any depth, which
// parsers disagree about, and invalid UTF-8, which encoding/json replaces in silence. All errors are
// Problems.
func scanObject(body []byte) ([]member, error) {
	if !utf8.Valid(body) {
		return nil, badRequest("", "the body is not UTF-8")
	}
	var raw json.RawMessage
	if err := json.Unmarshal(body, &raw); err != nil {
		return nil, malformed(err)
	}
	raw = bytes.TrimSpace(raw)
	if raw[0] != '{' {
		return nil, badRequest("", "the body must be one JSON object")
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if _, err := dec.Token(); err != nil {
		return nil, malformed(err)
	}
	var members []member
	seen := map[string]bool{}
	for dec.More() {
		if len(members) == maxElements {
			return nil, badRequest("", "the body has more than %d members", maxElements)
		}
		name, err := objectKey(dec, seen, "")
		if err != nil {
			return nil, err
		}
		start := dec.InputOffset()
		if err := scanValue(dec, name, 2); err != nil {
			return nil, err
		}
		value := bytes.TrimLeft(raw[start:dec.InputOffset()], ": \t\r\n")
		members = append(members, member{name, value})
	}
	return members, nil
}

// scanValue consumes one value, whose path is for error texts only.
func scanValue(dec *json.Decoder, path string, depth int) error {
	tok, err := dec.Token()
	if err != nil {
		return malformed(err)
	}
	delim, ok := tok.(json.Delim)
	if !ok {
		return nil
	}
	if depth > maxDepth {
		return badRequest("", "the body nests deeper than %d", maxDepth)
	}
	seen := map[string]bool{}
	for i := 0; dec.More(); i++ {
		if i == maxElements {
			return badRequest("", "%s has more than %d elements", clip(path), maxElements)
		}
		inner := path + "." + strconv.Itoa(i)
		if delim == '{' {
			name, err := objectKey(dec, seen, path)
			if err != nil {
				return err
			}
			inner = path + "." + name
		}
		if err := scanValue(dec, inner, depth+1); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil { // the closing delimiter
		return malformed(err)
	}
	return nil
}

func objectKey(dec *json.Decoder, seen map[string]bool, path string) (string, error) {
	tok, err := dec.Token()
	if err != nil {
		return "", malformed(err)
	}
	name, ok := tok.(string)
	if !ok {
		return "", badRequest("", "malformed JSON: a name was expected")
	}
	if seen[name] {
		full := name
		if path != "" {
			full = path + "." + name
		}
		return "", badRequest(full, "%q is given twice", name)
	}
	seen[name] = true
	return name, nil
}

func malformed(err error) *Problem {
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return badRequest("", "malformed JSON at byte %d: %v", syntax.Offset, syntax)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return badRequest("", "malformed JSON: the body ends too early")
	}
	return badRequest("", "%s", fmt.Sprintf("malformed JSON: %v", err))
}
