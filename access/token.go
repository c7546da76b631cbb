package access

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"time"

	"github.com/flowtap/flowtap/topology"
)

// Token is the right of who knows a secret, or has a certificate, to a role in a project.
type Token struct {
	// Name is for people.
	Name string `json:"name"`
	Role Role   `json:"role"`
	// Project is empty for providers.
	Project string `json:"project,omitempty"`
	// ExpiresAt is when the token ends; zero is never.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	// Certificate is the common name of the client certificates that have the right; empty where a secret has it.
	Certificate string `json:"certificate,omitempty"`
	// Hash is the SHA-256 of the secret, in hexadecimal. A secret is 256 random bits, so a hash that is quick to
	// compute is as hard to reverse as a slow one.
	Hash string `json:"hash,omitempty"`
}

// TokenStatus is what is observed of a token: nothing.
type TokenStatus struct{}

// Public is the token as it is shown.
func (t Token) Public() any {
	t.Hash = ""
	return t
}

// Expired reports whether the token has ended by a time.
func (t Token) Expired(now time.Time) bool { return !t.ExpiresAt.IsZero() && !now.Before(t.ExpiresAt) }

const (
	secretPrefix = "ft_"
	// SecretBytes is how many random bytes a secret is made of.
	SecretBytes = 32
)

// Secret spells random bytes as the secret of a token.
func Secret(random [SecretBytes]byte) string {
	return secretPrefix + base64.RawURLEncoding.EncodeToString(random[:])
}

// IsSecret reports whether text is spelled as a secret is.
func IsSecret(text string) bool {
	rest, ok := strings.CutPrefix(text, secretPrefix)
	if !ok {
		return false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	return err == nil && len(b) == SecretBytes
}

// HashOf gives a secret's SHA-256 in hexadecimal.
func HashOf(secret string) string {
	h := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(h[:])
}

// SecretID gives the id of the token with a secret: the first 96 bits of the hash, by which it is found with one read.
func SecretID(secret string) string { return HashOf(secret)[:24] }

// CertificateIDs begins the ids of all that is granted to certificates with a common name.
func CertificateIDs(name string) string { return "cert-" + HashOf(name)[:24] + "-" }

// CertificateID gives the id of what is granted to them in one project.
func CertificateID(name, project string) string { return CertificateIDs(name) + HashOf(project)[:16] }

// PrincipalOf gives who has tokens, of which the first is named; nobody where there are none. What has expired
// gives nothing.
func PrincipalOf(now time.Time, name string, ids []string, tokens []Token) Principal {
	p := Principal{Roles: map[string]Role{}}
	for i, t := range tokens {
		if t.Expired(now) {
			continue
		}
		if p.Token == "" {
			p.Name, p.Token = name, ids[i]
		}
		if t.Role == Provider {
			p.Provider = true
		} else if t.Role.Least(p.Roles[t.Project]) {
			p.Roles[t.Project] = t.Role
		}
	}
	return p
}

// Validate gives a *topology.FieldError for the first field that cannot be.
func (t Token) Validate() error {
	switch {
	case t.Role == Nobody:
		return &topology.FieldError{Field: "role", Detail: "is required: reader, member, admin or provider"}
	case !t.Role.Valid():
		return &topology.FieldError{Field: "role", Detail: "want reader, member, admin or provider"}
	case t.Role == Provider && t.Project != "":
		return &topology.FieldError{Field: "project", Detail: "a provider is of no project"}
	case t.Role != Provider && topology.ValidID(t.Project) != nil:
		return &topology.FieldError{Field: "project", Detail: "want the id of a project"}
	}
	if err := validText("name", t.Name, 1); err != nil {
		return err
	}
	return validText("certificate", t.Certificate, 0)
}

func validText(field, s string, least int) error {
	const most = 128
	printable := func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }
	switch {
	case len(s) < least:
		return &topology.FieldError{Field: field, Detail: "is required"}
	case len(s) > most || strings.ContainsFunc(s, printable):
		return &topology.FieldError{Field: field, Detail: "want at most 128 bytes of printable text"}
	}
	return nil
}
