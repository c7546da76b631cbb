package rest

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/flowtap/flowtap/tlsfiles"
)

// Environment is what the environment says of the server and the login; empty fields have defaults.
type Environment struct {
	Server, Token string
	// Files of certificates.
	CA, Cert, Key string
}

// Variables reads an Environment by its variables' names.
func Variables(get func(string) string) Environment {
	return Environment{Server: get("FLOWTAP_SERVER"), Token: get("FLOWTAP_TOKEN"), CA: get("FLOWTAP_CA"), Cert: get("FLOWTAP_CERT"), Key: get("FLOWTAP_KEY")}
}

const defaultServer = "http://127.0.0.1:8080"

// defaultTokenFile is where a flowtapd that was started in this directory keeps the first token.
var defaultTokenFile = filepath.Join("flowtap-data", "admin-token")

// Flags are a command line's, all that it takes to make a Client.
type Flags struct {
	env       Environment
	server    string
	token     string
	tokenFile string
	project   string
	files     tlsfiles.Files
	timeout   time.Duration
}

// Add puts the flags into a set.
func (f *Flags) Add(fs *pflag.FlagSet, env Environment) {
	f.env, f.files = env, tlsfiles.Files{Option: "-"}
	if f.server = env.Server; f.server == "" {
		f.server = defaultServer
	}
	fs.StringVar(&f.server, "server", f.server, "URL of the controller; the environment's FLOWTAP_SERVER is the default")
	fs.StringVar(&f.files.CA, "ca", env.CA, "`FILE` of the authorities that an https server's certificate must come from; default FLOWTAP_CA, or the system's")
	fs.StringVar(&f.files.Cert, "cert", env.Cert, "`FILE` of a client certificate; default FLOWTAP_CERT")
	fs.StringVar(&f.files.Key, "key", env.Key, "`FILE` of its key; default FLOWTAP_KEY")
	fs.StringVar(&f.token, "token", "", "secret to log in with; better FLOWTAP_TOKEN, which other users of the machine do not see")
	fs.StringVar(&f.tokenFile, "token-file", "", "`FILE` with the secret; default "+defaultTokenFile+", for a server on this machine")
	fs.StringVarP(&f.project, "project", "p", "", "the project that is meant, by default one's own; a provider may read those of '*'")
	fs.DurationVar(&f.timeout, "request-timeout", 30*time.Second, "how long one request may take, apart from --wait")
}

// UsageError is a wrong command line.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }
func (e *UsageError) Unwrap() error { return e.Err }

func usagef(format string, args ...any) error { return &UsageError{fmt.Errorf(format, args...)} }

// Client is made when a command runs: the flags are read then.
func (f *Flags) Client() (*Client, error) {
	u, err := url.Parse(f.server)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, usagef("--server must be a URL such as %s, not %q", defaultServer, f.server)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if f.files.Given() {
		if u.Scheme != "https" {
			return nil, usagef("certificates are for an https server: --server is %s", f.server)
		}
		source, err := tlsfiles.Load(f.files, slog.New(slog.DiscardHandler))
		if err != nil {
			return nil, &UsageError{err}
		}
		transport.TLSClientConfig = source.Client()
	}
	secret, err := f.secret(u)
	if err != nil {
		return nil, err
	}
	return &Client{Base: strings.TrimSuffix(f.server, "/"), Secret: secret, Project: f.project, Timeout: f.timeout, HTTP: &http.Client{Transport: transport}}, nil
}

// secret finds what to log in with: a flag's, the environment's, or that of the default file, which is for
// a server on this machine alone. Empty is no login.
func (f *Flags) secret(server *url.URL) (string, error) {
	switch {
	case f.token != "" && f.tokenFile != "":
		return "", usagef("give --token or --token-file, not both")
	case f.token != "":
		return f.token, nil
	case f.tokenFile != "":
		b, err := os.ReadFile(f.tokenFile)
		if err != nil {
			return "", &UsageError{err}
		}
		return strings.TrimSpace(string(b)), nil
	case f.env.Token != "":
		return f.env.Token, nil
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
