package tlsfiles

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"
)

// Files names one set of PEM files.
type Files struct {
	// Option is what begins the names of the options that gave the files, such as "--http-tls": errors
	// and logs name them by it.
	Option string
	// Cert is our certificate, followed by the intermediate ones if there are any, and Key its private
	// key. Both or none.
	Cert, Key string
	// CA holds the certificate authorities that the other side's certificate must come from. Empty:
	// a client trusts what the system trusts, and a server asks nobody for a certificate.
	CA string
}

// Given says whether any file is named.
func (f Files) Given() bool { return f.Cert != "" || f.Key != "" || f.CA != "" }

// Missing gives an error that names the option that is missing, where a certificate is given without
// its key or a key without its certificate.
func (f Files) Missing() error {
	switch {
	case f.Cert != "" && f.Key == "":
		return fmt.Errorf("%s-cert without %s-key: give both", f.Option, f.Option)
	case f.Cert == "" && f.Key != "":
		return fmt.Errorf("%s-key without %s-cert: give both", f.Option, f.Option)
	}
	return nil
}

// material is what the files held at one time.
type material struct {
	cert *tls.Certificate // nil without Cert
	cas  *x509.CertPool   // nil without CA
}

// read reads all files. Every error is one line and names the option and the file.
func (f Files) read() (*material, error) {
	m := &material{}
	if f.Cert != "" {
		cert, err := f.part("cert", f.Cert)
		if err != nil {
			return nil, err
		}
		key, err := f.part("key", f.Key)
		if err != nil {
			return nil, err
		}
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("%s-cert %s and %s-key %s: %w", f.Option, f.Cert, f.Option, f.Key, err)
		}
		m.cert = &pair
	}
	if f.CA != "" {
		b, err := f.part("ca", f.CA)
		if err != nil {
			return nil, err
		}
		if m.cas, err = authorities(b); err != nil {
			return nil, fmt.Errorf("%s-ca %s: %w", f.Option, f.CA, err)
		}
	}
	return m, nil
}

func (f Files) part(name, file string) ([]byte, error) {
	b, err := os.ReadFile(file) // #nosec G304 -- the file that the command line names
	if err != nil {
		return nil, fmt.Errorf("%s-%s: %w", f.Option, name, err)
	}
	return b, nil
}

// authorities reads a file of certificates. Unlike x509.CertPool's own method it refuses one that it
// can read in part only: half of the authorities are not what somebody meant.
func authorities(b []byte) (*x509.CertPool, error) {
	pool, n := x509.NewCertPool(), 0
	for {
		block, rest := pem.Decode(b)
		if block == nil {
			break
		}
		b = rest
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("it has a %s: only certificates belong there", block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", n+1, err)
		}
		pool.AddCert(cert)
		n++
	}
	switch {
	case n == 0:
		return nil, errors.New("there is no certificate in PEM in it")
	case len(pemBegin.FindIndex(b)) > 0:
		return nil, fmt.Errorf("what follows certificate %d is cut off", n)
	}
	return pool, nil
}

// A stamp tells one content of a file from another as far as that is possible without reading it.
type stamp struct {
	modified time.Time
	size     int64
	inode    uint64
}

// stamps are those of all files; the zero value is of a file that cannot be looked at.
func (f Files) stamps() [3]stamp {
	var out [3]stamp
	for i, name := range [3]string{f.Cert, f.Key, f.CA} {
		if name == "" {
			continue
		}
		if info, err := os.Stat(name); err == nil {
			out[i] = stamp{info.ModTime(), info.Size(), inode(info)}
		}
	}
	return out
}
