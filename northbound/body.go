package northbound

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"
)

const (
	// maxBody bounds a request's body, in bytes.
	maxBody = 1 << 20
	// bodyTimeout bounds how long a client may take to send its body, headerTimeout its request before that.
	bodyTimeout   = 20 * time.Second
	headerTimeout = 10 * time.Second
)

// readBody reads a JSON body of at most maxBody bytes. The media type is required: it is what
// keeps another site's web page from writing through a browser that can reach us.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	ct := r.Header.Get("Content-Type")
	mt, params, err := mime.ParseMediaType(ct)
	if err != nil || mt != "application/json" {
		return nil, problem(http.StatusUnsupportedMediaType, "", "send Content-Type: application/json, not %q", ct)
	}
	if cs, ok := params["charset"]; ok && !strings.EqualFold(cs, "utf-8") {
		return nil, problem(http.StatusUnsupportedMediaType, "", "JSON is UTF-8, not %s", cs)
	}
	if ce := r.Header.Get("Content-Encoding"); ce != "" && ce != "identity" {
		return nil, problem(http.StatusUnsupportedMediaType, "", "send the body without Content-Encoding, not %q", ce)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, problem(http.StatusRequestEntityTooLarge, "", "the body is larger than %d bytes", maxBody)
	case err != nil:
		return nil, badRequest("", "the body could not be read: %v", err)
	case len(body) == 0:
		return nil, badRequest("", "the body is empty: send one JSON object")
	}
	return body, nil
}
