package account

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
)

// Mode says what a connection needs of TLS. The words are those of MySQL's own clients.
type Mode string

// The modes, from the least to the most that is asked of the server.
const (
	Disabled       Mode = "disabled"        // never TLS
	Preferred      Mode = "preferred"       // TLS where the server offers it, its certificate unchecked
	Required       Mode = "required"        // TLS or no connection, the certificate unchecked
	VerifyCA       Mode = "verify_ca"       // and the certificate is signed by an authority that is trusted
	VerifyIdentity Mode = "verify_identity" // and it is of the host that was asked for
)

// TLS is the part tls of a source in a pipeline file.
type TLS struct {
	Mode Mode `yaml:"mode"`
	// CA is a PEM file with the authorities that are trusted; without it the system's are.
	CA string `yaml:"ca"`
	// Cert and Key are PEM files with this side's certificate, for accounts that demand one.
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
	// ServerName is the name that the server's certificate must hold where that is not
	// the host of the address.
	ServerName string `yaml:"server_name"`
}

// Mistakes are all those that can be seen without reading the files; each begins with
// its key.
func (t *TLS) Mistakes() []error {
	var errs []error
	bad := func(key, format string, a ...any) { errs = append(errs, fmt.Errorf("tls."+key+": "+format, a...)) }
	switch t.Mode {
	case Disabled, Preferred, Required, VerifyCA, VerifyIdentity:
	default:
		bad("mode", "%q is not disabled, preferred, required, verify_ca or verify_identity", string(t.Mode))
	}
	switch {
	case t.Cert != "" && t.Key == "":
		bad("key", "is missing: cert is given")
	case t.Key != "" && t.Cert == "":
		bad("cert", "is missing: key is given")
	}
	if t.Mode == Disabled && (t.CA != "" || t.Cert != "" || t.Key != "") {
		bad("mode", "is disabled, so that ca, cert and key would be ignored; take them out or choose another mode")
	}
	if t.CA != "" && (t.Mode == Preferred || t.Mode == Required) {
		bad("ca", "is not looked at in mode %s; choose verify_ca or verify_identity", t.Mode)
	}
	return errs
}

// config is what a connection to address is made with; nil where TLS is not wanted. It
// reads the files.
func (t *TLS) config(address string) (*tls.Config, error) {
	if t.Mode == Disabled || t.Mode == "" || t.Mode == Preferred && strings.HasPrefix(address, "/") {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.serverName(address)}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("source.tls.cert and source.tls.key: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	if t.Mode == Preferred || t.Mode == Required {
		c.InsecureSkipVerify = true
		return c, nil
	}
	roots, err := t.roots()
	if err != nil {
		return nil, err
	}
	c.RootCAs = roots
	if t.Mode == VerifyCA {
		c.InsecureSkipVerify = true // the name alone: the chain is checked here
		c.VerifyConnection = func(s tls.ConnectionState) error { return verifyChain(s, roots) }
	}
	return c, nil
}

func (t *TLS) serverName(address string) string {
	if t.ServerName != "" {
		return t.ServerName
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return "localhost" // a socket is on this machine
	}
	return host
}

// roots are the authorities that are trusted; nil means the system's.
func (t *TLS) roots() (*x509.CertPool, error) {
	if t.CA == "" {
		return nil, nil
	}
	text, err := os.ReadFile(t.CA)
	if err != nil {
		return nil, fmt.Errorf("source.tls.ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("source.tls.ca: %s holds no certificate in PEM form", t.CA)
	}
	return pool, nil
}

// verifyChain checks everything of the server's certificate but its name.
func verifyChain(s tls.ConnectionState, roots *x509.CertPool) error {
	if len(s.PeerCertificates) == 0 {
		return errors.New("the server sent no certificate")
	}
	between := x509.NewCertPool()
	for _, c := range s.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between})
	return err
}
