package northbound

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// maxLimit bounds a page; without a limit a list is whole.
	maxLimit = 100_000
	// maxWait bounds ?wait.
	maxWait = time.Hour
)

// query is a request's parameters, each at most once where not said otherwise. A parameter that
// nobody asked for is refused: a mistyped ?dryrun=true must not change anything.
type query struct{ values url.Values }

func parseQuery(r *http.Request, known ...string) (query, error) {
	v, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return query{}, badRequest("", "the query cannot be read: %v", err)
	}
	for name, vs := range v {
		if known != nil && !slices.Contains(known, name) {
			return query{}, badRequest(name, "there is no parameter %q here; there are: %s", name, strings.Join(known, ", "))
		}
		if known != nil && len(vs) > 1 {
			return query{}, badRequest(name, "the parameter %q is given twice", name)
		}
	}
	return query{v}, nil
}

// take gives a parameter's one value and forgets it, so that what remains are filters.
func (q query) take(name string) (string, bool, error) {
	vs, ok := q.values[name]
	delete(q.values, name)
	if len(vs) > 1 {
		return "", false, badRequest(name, "the parameter %q is given twice", name)
	}
	if !ok {
		return "", false, nil
	}
	return vs[0], true, nil
}

// bool reads true or false; absent is false, an empty value is refused.
func (q query) bool(name string) (bool, error) {
	s, ok, err := q.take(name)
	if err != nil || !ok {
		return false, err
	}
	v, err := strconv.ParseBool(s)
	if err != nil {
		return false, badRequest(name, "%s must be true or false, not %q", name, s)
	}
	return v, nil
}

// wait reads ?wait in seconds; zero is no wait.
func (q query) wait() (time.Duration, error) {
	s, ok, err := q.take("wait")
	if err != nil || !ok {
		return 0, err
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !(v >= 0 && v <= maxWait.Seconds()) { // the negation refuses NaN as well
		return 0, badRequest("wait", "wait must be a number of seconds from 0 to %g, not %q", maxWait.Seconds(), s)
	}
	return time.Duration(v * float64(time.Second)), nil
}

// limit reads ?limit; zero is no limit.
func (q query) limit() (int, error) {
	s, ok, err := q.take("limit")
	if err != nil || !ok {
		return 0, err
	}
	v, err := strconv.Atoi(s)
	if err != nil || v < 1 || v > maxLimit {
		return 0, badRequest("limit", "limit must be a number from 1 to %d, not %q", maxLimit, s)
	}
	return v, nil
}

// page reads ?page: the id that the last page ended with, or "". See pageToken.
func (q query) page() (string, error) {
	s, ok, err := q.take("page")
	if err != nil || !ok || s == "" {
		return "", err
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	after, good := strings.CutPrefix(string(b), pagePrefix)
	if err != nil || !good {
		return "", badRequest("page", "page must be the next of the last answer, not %q", s)
	}
	return after, nil
}

const pagePrefix = "after:"

// pageToken names the page that starts after an id. Ids are listed in order, so objects that come
// and go between two pages move no other object over the border.
func pageToken(after string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(pagePrefix + after))
}

// ifMatch reads If-Match (RFC 9110 §13.1.1): zero is no condition. "*" is met by every object that
// exists, which PUT and DELETE demand anyway. A bare number is taken for a quoted one.
func ifMatch(r *http.Request) (int64, error) {
	hs := r.Header.Values("If-Match")
	if len(hs) == 0 {
		return 0, nil
	}
	s := strings.TrimSpace(strings.Join(hs, ","))
	if s == "*" {
		return 0, nil
	}
	if strings.HasPrefix(s, "W/") {
		return 0, problem(http.StatusPreconditionFailed, "", "If-Match compares strongly: leave out W/")
	}
	bare := s
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		bare = s[1 : len(s)-1]
	}
	v, err := strconv.ParseUint(bare, 10, 63)
	switch {
	case err != nil && bare != s && !strings.ContainsAny(bare, `",`):
		// A well-formed tag that no revision of ours ever was.
		return 0, problem(http.StatusPreconditionFailed, "", "no revision is %s: read the object again", s)
	case err != nil:
		return 0, badRequest("If-Match", `If-Match must be one quoted revision such as "12", not %s`, s)
	case v == 0:
		return 0, problem(http.StatusPreconditionFailed, "", "no revision is 0: read the object again")
	}
	return int64(v), nil
}
