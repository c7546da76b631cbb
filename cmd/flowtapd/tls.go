package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"github.com/flowtap/flowtap/tlsfiles"
)

// certFiles are the files of everything that can speak TLS.
type certFiles struct{ openflow, http, peer, etcd tlsfiles.Files }

// The options' beginnings.
const (
	openflowTLS = "--openflow-tls"
	httpTLS     = "--http-tls"
	peerTLS     = "--peer-tls"
	etcdTLS     = "--etcd-tls"
)

func (c *certFiles) flags(f *pflag.FlagSet) {
	for _, set := range []struct {
		files         *tlsfiles.Files
		option        string
		cert, key, ca string
	}{
		{&c.openflow, openflowTLS, "`FILE` of the certificate that switches see", "`FILE` of its key", "`FILE` of the authorities that switches' certificates must come from"},
		{&c.http, httpTLS, "`FILE` of the certificate that users see", "`FILE` of its key", "`FILE` of the authorities that users' certificates, where they have one, must come from"},
		{&c.peer, peerTLS, "`FILE` of the certificate that other replicas see", "`FILE` of its key", "`FILE` of the authorities that other replicas' certificates must come from"},
		{&c.etcd, etcdTLS, "`FILE` of the certificate that an external etcd sees", "`FILE` of its key", "`FILE` of the authorities that an external etcd's certificate must come from; default the system's"},
	} {
		set.files.Option = set.option
		name := set.option[len("--"):]
		f.StringVar(&set.files.Cert, name+"-cert", "", set.cert)
		f.StringVar(&set.files.Key, name+"-key", "", set.key)
		f.StringVar(&set.files.CA, name+"-ca", "", set.ca)
	}
}

// check finds what is missing, without a look at the files.
func (c *certFiles) check(etcdEndpoints []string) error {
	for _, files := range []tlsfiles.Files{c.openflow, c.http, c.peer, c.etcd} {
		if err := files.Missing(); err != nil {
			return err
		}
	}
	for _, files := range []tlsfiles.Files{c.openflow, c.peer} {
		if files.Given() && (files.Cert == "" || files.CA == "") {
			return fmt.Errorf("%s needs all of %s-cert, -key and -ca: both ends have certificates", files.Option, files.Option)
		}
	}
	switch {
	case c.http.CA != "" && c.http.Cert == "":
		return fmt.Errorf("%s-ca without %s-cert and %s-key: give all", httpTLS, httpTLS, httpTLS)
	case c.etcd.Given() && len(etcdEndpoints) == 0:
		return errors.New(etcdTLS + "-* are for an external etcd: name it with --etcd-endpoints")
	}
	return nil
}

// sources have the certificates of what speaks TLS; nil where something does not.
type sources struct{ openflow, http, peer, etcd *tlsfiles.Source }

// load reads all files. Its errors are usage errors.
func (c *certFiles) load(log *slog.Logger, registry prometheus.Registerer) (*sources, error) {
	s := &sources{}
	for _, set := range []struct {
		files  tlsfiles.Files
		source **tlsfiles.Source
		name   string
	}{{c.openflow, &s.openflow, "openflow"}, {c.http, &s.http, "http"}, {c.peer, &s.peer, "peer"}, {c.etcd, &s.etcd, "etcd"}} {
		if !set.files.Given() {
			continue
		}
		source, err := tlsfiles.Load(set.files, log)
		if err != nil {
			return nil, usageError{err}
		}
		*set.source = source
		if set.files.Cert == "" {
			continue
		}
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "flowtap_tls_not_after_seconds",
			Help: "When our certificate expires, in Unix time.", ConstLabels: prometheus.Labels{"listener": set.name}},
			func() float64 { return float64(source.NotAfter().Unix()) }))
	}
	return s, nil
}

// forSwitches is nil without TLS. Open vSwitch 3.1 speaks TLS 1.3, older ones 1.2.
func (s *sources) forSwitches() *tls.Config {
	if s.openflow == nil {
		return nil
	}
	return s.openflow.Server(tlsfiles.Server{Clients: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12})
}

// forUsers is nil without TLS.
func (s *sources) forUsers() *tls.Config {
	if s.http == nil {
		return nil
	}
	return s.http.Server(tlsfiles.Server{Clients: tls.VerifyClientCertIfGiven, Protocols: []string{"h2", "http/1.1"}})
}

// forPeers and toPeers are nil without TLS.
func (s *sources) forPeers() *tls.Config {
	if s.peer == nil {
		return nil
	}
	return s.peer.Server(tlsfiles.Server{Clients: tls.RequireAndVerifyClientCert, Protocols: []string{"http/1.1"}})
}

func (s *sources) toPeers() func() *tls.Config {
	if s.peer == nil {
		return nil
	}
	return s.peer.Client
}

// forEtcd is nil without TLS, or where the system's authorities do.
func (s *sources) forEtcd() func() *tls.Config {
	if s.etcd == nil {
		return nil
	}
	return s.etcd.Client
}
