// Package pki is a certificate authority small enough to read: for demonstrations, tests, and sites
// that have no other. Keys are ECDSA P-256, certificates X.509 version 3 (RFC 5280). It keeps nothing:
// there are no serial files and no revocation lists, a certificate is withdrawn by its expiry or
// by a new authority.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"strings"
	"time"
)

// Kind is what a certificate is for.
type Kind string

// The kinds. A replica is both ends of its link with the others.
const (
	Switch  Kind = "switch"  // a node's Open vSwitch, which connects to flowtapd
	Server  Kind = "server"  // flowtapd towards switches and users, or etcd
	Client  Kind = "client"  // a user, or flowtapd towards etcd
	Replica Kind = "replica" // flowtapd towards other replicas
)

// Kinds are all kinds.
var Kinds = []Kind{Switch, Server, Client, Replica}

// backdate is how much before its making a certificate begins to be valid: other machines' clocks
// may be behind.
const backdate = 10 * time.Minute

// An Authority signs certificates.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// New makes an authority that is valid until a time.
func New(name string, now, until time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the authority's key: %w", err)
	}
	template, err := blank(name, now, until)
	if err != nil {
		return nil, err
	}
	template.IsCA, template.MaxPathLenZero = true, true // it signs no further authorities
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make the authority's certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read the authority's certificate: %w", err)
	}
	return &Authority{cert, key}, nil
}

// Read makes an authority of what its PEM gave.
func Read(cert, key []byte) (*Authority, error) {
	block, _ := pem.Decode(cert)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("the authority's certificate is not in PEM")
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the authority's certificate: %w", err)
	}
	if block, _ = pem.Decode(key); block == nil || block.Type != keyType {
		return nil, errors.New("the authority's key is not a PKCS #8 key in PEM")
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the authority's key: %w", err)
	}
	ec, ok := k.(*ecdsa.PrivateKey)
	switch {
	case !ok:
		return nil, fmt.Errorf("the authority's key is a %T, not ECDSA", k)
	case !c.IsCA:
		return nil, errors.New("the authority's certificate may not sign others")
	case !ec.PublicKey.Equal(c.PublicKey):
		return nil, errors.New("the authority's key is not that of its certificate")
	}
	return &Authority{c, ec}, nil
}

const keyType = "PRIVATE KEY"

// PEM gives the authority as Read takes it.
func (a *Authority) PEM() (cert, key []byte, err error) { return encode(a.cert.Raw, a.key) }

// NotAfter is when the authority, and with it whatever it has signed, expires.
func (a *Authority) NotAfter() time.Time { return a.cert.NotAfter }

// A Request says what a certificate shall certify.
type Request struct {
	// Name becomes the common name, and the first DNS name where it can be one.
	Name string
	Kind Kind
	// DNS and IPs are what else a server is reached by.
	DNS        []string
	IPs        []net.IP
	Now, Until time.Time
}

// Issue makes a key and signs a certificate for it; both in PEM.
func (a *Authority) Issue(r Request) (cert, key []byte, err error) {
	template, err := blank(r.Name, r.Now, r.Until)
	if err != nil {
		return nil, nil, err
	}
	switch r.Kind {
	case Switch, Client:
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	case Server:
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	case Replica:
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	default:
		return nil, nil, fmt.Errorf("there is no kind %q of certificate", r.Kind)
	}
	if r.Until.After(a.cert.NotAfter) {
		return nil, nil, fmt.Errorf("the authority itself expires on %s: ask for fewer days", a.cert.NotAfter.Format(time.DateOnly))
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	for _, name := range append([]string{r.Name}, r.DNS...) {
		if !slices.Contains(template.DNSNames, name) {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	template.IPAddresses = r.IPs
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &k.PublicKey, a.key)
	if err != nil {
		return nil, nil, fmt.Errorf("make a certificate: %w", err)
	}
	return encode(der, k)
}

func blank(name string, now, until time.Time) (*x509.Certificate, error) {
	if err := ValidName(name); err != nil {
		return nil, err
	}
	if !until.After(now) {
		return nil, errors.New("the certificate would be expired already")
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	return &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)), Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-backdate), NotAfter: until, BasicConstraintsValid: true,
	}, nil
}

// ValidName says whether a name can be a certificate's and a file's: 1 to 63 letters, digits and
// . _ -, the first a letter or digit.
func ValidName(s string) error {
	ok := len(s) >= 1 && len(s) <= 63 && !strings.ContainsRune("._-", rune(s[0]))
	for _, c := range s {
		ok = ok && ('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("._-", c))
	}
	if !ok {
		return fmt.Errorf("%q cannot be a certificate's name: want 1 to 63 letters, digits and . _ -, beginning with a letter or digit", s)
	}
	return nil
}

func encode(der []byte, k *ecdsa.PrivateKey) (cert, key []byte, err error) {
	b, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, nil, fmt.Errorf("encode a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: keyType, Bytes: b}), nil
}
