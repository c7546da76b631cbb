package tlsfiles

import (
	"crypto/tls"
	"crypto/x509"
	"io/fs"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"sync"
	"syscall"
	"time"
)

var pemBegin = regexp.MustCompile(`-----BEGIN `)

// inode tells a file from the one that was renamed over it; zero where the system has no such thing.
func inode(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return 0
}

// lookAgain is how long what was read is used without a look at the files.
const lookAgain = time.Second

// A Source has what is in a set of files now. Its methods may be called from any goroutine.
type Source struct {
	files Files
	log   *slog.Logger
	now   func() time.Time

	mu      sync.Mutex // guards what follows
	looked  time.Time
	tried   [3]stamp                // of the last attempt to read
	good    bool                    // the last attempt succeeded
	have    *material               // never nil
	servers map[*Server]*tls.Config // made of have
}

// Load reads the files for the first time. Its error is one line and names the option and the file.
func Load(f Files, log *slog.Logger) (*Source, error) { return load(f, log, time.Now) }

func load(f Files, log *slog.Logger, now func() time.Time) (*Source, error) {
	if err := f.Missing(); err != nil {
		return nil, err
	}
	s := &Source{files: f, log: log, now: now, looked: now(), tried: f.stamps(), good: true}
	var err error
	if s.have, err = f.read(); err != nil {
		return nil, err
	}
	if info, err := os.Stat(f.Key); f.Key != "" && err == nil && info.Mode().Perm()&0o077 != 0 {
		log.Warn("others than its owner may read a private key", "file", f.Key, "mode", info.Mode().Perm())
	}
	return s, nil
}

// NotAfter is when our certificate expires; the zero time without one.
func (s *Source) NotAfter() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.lockedCurrent(); m.cert != nil {
		return m.cert.Leaf.NotAfter
	}
	return time.Time{}
}

// lockedCurrent gives what the files hold, or held when they last could be read.
func (s *Source) lockedCurrent() *material {
	now := s.now()
	if since := now.Sub(s.looked); since >= 0 && since < lookAgain {
		return s.have
	}
	s.looked = now
	stamps := s.files.stamps() // before reading: what changes meanwhile is read next time
	if stamps == s.tried && s.good {
		return s.have
	}
	m, err := s.files.read()
	switch {
	case err == nil:
		if stamps != s.tried || !s.good {
			s.log.Info("certificate files were read again", "files", s.files.Option)
		}
		s.have, s.servers = m, nil
	case stamps != s.tried || s.good: // once for each content that does not do
		s.log.Error("certificate files changed and cannot be used; the old ones serve on", "error", err)
	}
	s.tried, s.good = stamps, err == nil
	return s.have
}

// A Server says how connections are accepted.
type Server struct {
	// Clients says what is asked of clients, where there is a CA.
	Clients tls.ClientAuthType
	// MinVersion is of TLS; zero is 1.3.
	MinVersion uint16
	// Protocols is for the negotiation of what is spoken above (ALPN).
	Protocols []string
}

// Server gives the configuration of a listener, for good: it looks at the files itself. Sessions
// cannot be resumed, so that a client proves itself to today's authorities each time.
func (s *Source) Server(how Server) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, // of a greeting; what is spoken is what follows
		NextProtos: how.Protocols,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			m := s.lockedCurrent()
			if c := s.servers[&how]; c != nil {
				return c, nil
			}
			c := how.config(m)
			if s.servers == nil {
				s.servers = map[*Server]*tls.Config{}
			}
			s.servers[&how] = c
			return c, nil
		},
	}
}

func (how Server) config(m *material) *tls.Config {
	c := &tls.Config{
		MinVersion:             max(how.MinVersion, tls.VersionTLS12),
		NextProtos:             how.Protocols,
		SessionTicketsDisabled: true,
	}
	if how.MinVersion == 0 {
		c.MinVersion = tls.VersionTLS13
	}
	if m.cert != nil {
		c.Certificates = []tls.Certificate{*m.cert}
	}
	if m.cas != nil {
		c.ClientCAs, c.ClientAuth = m.cas, how.Clients
	}
	return c
}

// Client gives the configuration of a connection that is made now: ask anew for each. The other
// side must bear the name that the connection is made to.
func (s *Source) Client() *tls.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.lockedCurrent()
	c := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: m.cas}
	if m.cert != nil {
		c.Certificates = []tls.Certificate{*m.cert}
	}
	return c
}

// Names gives what a certificate calls its owner: the common name and the DNS names.
func Names(c *x509.Certificate) []string {
	if c == nil {
		return nil
	}
	names := append([]string(nil), c.DNSNames...)
	if c.Subject.CommonName != "" && !slices.Contains(names, c.Subject.CommonName) {
		names = append(names, c.Subject.CommonName)
	}
	return names
}
