package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flowtap/flowtap/pki"
)

// The files of an authority; a certificate n1 is in n1.pem and n1-key.pem beside them.
const (
	caName = "ca"
	day    = 24 * time.Hour
)

// pkiCommand speaks to no server: it makes and signs certificates in a directory.
func (a *app) pkiCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "pki",
		Short: "Make a certificate authority and certificates, for sites that have none",
		Example: "  flowtapctl pki init\n" +
			"  flowtapctl pki issue --name flowtapd --kind server --dns flowtapd.example.net --ip 10.0.0.1\n" +
			"  flowtapctl pki issue --name n1 --kind switch\n" +
			"  ovs-vsctl set-ssl /etc/flowtap/n1-key.pem /etc/flowtap/n1.pem /etc/flowtap/ca.pem",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(a.pkiInit(), a.pkiIssue())
	return c
}

func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("unexpected argument %q", args[0])
	}
	return nil
}

func (a *app) pkiInit() *cobra.Command {
	var dir, name string
	var days int
	var force bool
	c := &cobra.Command{
		Use: "init", Short: "Make an authority: ca.pem, which everybody gets, and ca-key.pem, which nobody gets",
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			now := time.Now()
			until, err := expiry(now, days)
			if err != nil {
				return err
			}
			authority, err := pki.New(name, now, until)
			if err != nil {
				return &usageError{Err: err}
			}
			cert, key, err := authority.PEM()
			if err != nil {
				return err
			}
			return a.keep(dir, caName, cert, key, force)
		},
	}
	pkiFlags(c, &dir, &days, 3650, &force)
	c.Flags().StringVar(&name, "name", "FlowTap-CA", "what the authority calls itself")
	return c
}

func (a *app) pkiIssue() *cobra.Command {
	var dir, kind string
	var ips []string
	var days int
	var force bool
	var r pki.Request
	c := &cobra.Command{
		Use: "issue", Short: "Make a key and a certificate for it: NAME.pem and NAME-key.pem",
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			if r.Name == caName {
				return usagef("--name %s is the authority's: choose another", caName)
			}
			if r.Kind = pki.Kind(kind); !slices.Contains(pki.Kinds, r.Kind) {
				return usagef("--kind must be one of %s, not %q", kindNames(), kind)
			}
			for _, text := range ips {
				ip := net.ParseIP(text)
				if ip == nil {
					return usagef("--ip %q is not an IP address", text)
				}
				r.IPs = append(r.IPs, ip)
			}
			var err error
			r.Now = time.Now()
			if r.Until, err = expiry(r.Now, days); err != nil {
				return err
			}
			authority, err := readAuthority(dir)
			if err != nil {
				return err
			}
			cert, key, err := authority.Issue(r)
			if err != nil {
				return &usageError{Err: err}
			}
			return a.keep(dir, r.Name, cert, key, force)
		},
	}
	pkiFlags(c, &dir, &days, 365, &force)
	f := c.Flags()
	f.StringVar(&r.Name, "name", "", "whom it is for: a node's or replica's name, a user")
	f.StringVar(&kind, "kind", "", kindNames())
	f.StringSliceVar(&r.DNS, "dns", nil, "further DNS names that a server is reached by")
	f.StringSliceVar(&ips, "ip", nil, "IP addresses that a server is reached by")
	return c
}

func pkiFlags(c *cobra.Command, dir *string, days *int, usual int, force *bool) {
	f := c.Flags()
	f.StringVar(dir, "dir", "pki", "`DIRECTORY` with the authority")
	f.IntVar(days, "days", usual, "how long it is valid")
	f.BoolVar(force, "force", false, "replace files that are there")
}

func kindNames() string {
	var names []string
	for _, k := range pki.Kinds {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}

func expiry(now time.Time, days int) (time.Time, error) {
	if days < 1 || days > 36500 {
		return time.Time{}, usagef("--days must be 1 to 36500, not %d", days)
	}
	return now.Add(time.Duration(days) * day), nil
}

func readAuthority(dir string) (*pki.Authority, error) {
	var b [2][]byte
	for i, name := range [2]string{certFile(dir, caName), keyFile(dir, caName)} {
		var err error
		if b[i], err = os.ReadFile(name); errors.Is(err, fs.ErrNotExist) { // #nosec G304 -- in the directory that the command line names
			return nil, fmt.Errorf("there is no %s: make an authority with flowtapctl pki init, or name its directory with --dir", name)
		} else if err != nil {
			return nil, err
		}
	}
	authority, err := pki.Read(b[0], b[1])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return authority, nil
}

func certFile(dir, name string) string { return filepath.Join(dir, name+".pem") }
func keyFile(dir, name string) string  { return filepath.Join(dir, name+"-key.pem") }

// keep writes a certificate and its key and says where. Files are replaced whole, so that a server
// that reads them meanwhile finds the old or the new one.
func (a *app) keep(dir, name string, cert, key []byte, force bool) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	files := []struct {
		name string
		b    []byte
		mode fs.FileMode
	}{{keyFile(dir, name), key, 0o600}, {certFile(dir, name), cert, 0o644}}
	for _, f := range files {
		if _, err := os.Lstat(f.name); !errors.Is(err, fs.ErrNotExist) && !force {
			return fmt.Errorf("%s is there already: name another --dir, or replace it with --force", f.name)
		}
	}
	for _, f := range files {
		if err := replaceFile(f.name, f.b, f.mode); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(a.out, "%s\n%s\n", certFile(dir, name), keyFile(dir, name))
	return err
}

func replaceFile(name string, b []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // in vain once it is renamed
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
