package main

import (
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// defaultTokenFile is where a flowtapd that was started in this directory keeps the first token.
var defaultTokenFile = filepath.Join("flowtap-data", "admin-token")

// secret finds what to log in with: a flag's, the environment's, or that of the default file, which is for
// a server on this machine alone. Empty is no login.
func (a *app) secret(server *url.URL) (string, error) {
	switch {
	case a.flagToken != "" && a.tokenFile != "":
		return "", usagef("give --token or --token-file, not both")
	case a.flagToken != "":
		return a.flagToken, nil
	case a.tokenFile != "":
		b, err := os.ReadFile(a.tokenFile)
		if err != nil {
			return "", &usageError{err}
		}
		return strings.TrimSpace(string(b)), nil
	case a.world.token != "":
		return a.world.token, nil
	}
	ip, err := netip.ParseAddr(server.Hostname())
	if server.Hostname() != "localhost" && (err != nil || !ip.IsLoopback()) {
		return "", nil
	}
	b, err := os.ReadFile(defaultTokenFile) // #nosec G304 -- a constant
	if err != nil {
		return "", nil // there need not be one
	}
	return strings.TrimSpace(string(b)), nil
}

// ofProject reports whether what a path names is of projects.
func ofProject(path string) bool {
	kind, _, _ := strings.Cut(strings.TrimPrefix(path, "/v1/"), "/")
	return slices.Contains([]string{"networks", "ports", "pools", "taps", "policies", "tokens", "audit"}, kind)
}
