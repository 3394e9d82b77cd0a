package account

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/go-mysql-org/go-mysql/mysql"
	mysqldriver "github.com/go-sql-driver/mysql"
)

// The server's numbers of refusals that are explained.
const (
	hostBlocked       = 1129
	hostNotAllowed    = 1130
	accessDenied      = 1045
	accessDeniedNoPw  = 1698
	insecureTransport = 3159
	accountLocked     = 3118
	passwordExpired   = 1820
	mustChange        = 1862
)

// explain says, of an error of connecting, what the server demands. It adds only what is
// known on this side: whether TLS was offered, whether it was used.
func (a *Account) explain(err error, seen *greeting) error {
	if number := Refused(err); number != 0 {
		if remedy := a.remedy(number, seen); remedy != "" {
			return fmt.Errorf("%w; %s", err, remedy)
		}
		return err
	}
	var untrusted x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var broken *tls.CertificateVerificationError
	var header tls.RecordHeaderError
	switch {
	case errors.As(err, &name):
		return fmt.Errorf("the server's certificate is of another name: %w; set source.tls.server_name to a name that it holds, or "+
			"source.tls.mode to verify_ca", err)
	case errors.As(err, &untrusted):
		return fmt.Errorf("the server's certificate is not trusted: %w; set source.tls.ca to the file of the authority that signed it, or "+
			"source.tls.mode to required", err)
	case errors.As(err, &invalid), errors.As(err, &broken):
		return fmt.Errorf("the server's certificate is not good: %w; give the server another one, or set source.tls.mode to required", err)
	case errors.As(err, &header):
		return fmt.Errorf("the server did not answer in TLS: %w", err)
	case errors.Is(err, mysqldriver.ErrNoTLS), a.TLS.Mode != Preferred && a.TLS.Mode != Disabled && a.TLS.Mode != "" &&
		seen.offer == offersNone:
		return fmt.Errorf("the server offers no TLS and source.tls.mode is %s: %w; give the server a certificate (ssl_cert, ssl_key), or set "+
			"source.tls.mode to preferred",
			a.TLS.Mode, err)
	case errors.Is(err, mysqldriver.ErrUnknownPlugin):
		return fmt.Errorf("%w: the account uses none of mysql_native_password, caching_sha2_password, sha256_password and ed25519; "+
			"ALTER USER %s to one of these", err, a.User)
	}
	return err
}

// remedy is what a refusal by the server may be about, "" when its own text says it.
func (a *Account) remedy(number int, seen *greeting) string {
	switch number {
	case insecureTransport:
		return "the server takes no connection without TLS (require_secure_transport); " + a.wantTLS(seen)
	case accessDenied, accessDeniedNoPw:
		return a.denied(seen)
	case hostNotAllowed:
		return "the server knows no account for the address that this connection comes from"
	case hostBlocked:
		return "run FLUSH HOSTS on the server (or TRUNCATE performance_schema.host_cache) once the cause of the failed connections is gone"
	case accountLocked, passwordExpired, mustChange:
		return "ALTER USER " + a.User + " on the server, then it goes on by itself"
	}
	return ""
}

// denied lists what makes a server deny access: it does not say which it was.
func (a *Account) denied(seen *greeting) string {
	const first = "either source.user or source.password is wrong, or there is no such account for the address that this connection comes from"
	switch {
	case a.network() == "unix":
		return first
	case a.usedTLS(seen) && a.TLS.Cert == "":
		return first + ", or the account demands a client's certificate (REQUIRE X509, ISSUER or SUBJECT): set source.tls.cert and source.tls.key"
	case a.usedTLS(seen):
		return first + ", or the account demands another certificate than source.tls.cert"
	}
	return first + ", or TLS is demanded (REQUIRE SSL of the account, require_secure_transport of the server), which this " +
		"connection had not: " + a.wantTLS(seen)
}

// wantTLS is how a connection without TLS becomes one with it.
func (a *Account) wantTLS(seen *greeting) string {
	switch {
	case a.TLS.Mode == Disabled || a.TLS.Mode == "":
		return "source.tls.mode is disabled; set it to preferred, required, verify_ca or verify_identity"
	case seen.offer == offersNone:
		return "the server offers none: give it a certificate (ssl_cert, ssl_key)"
	}
	return "set source.tls.mode to required, verify_ca or verify_identity"
}

// usedTLS reports whether the connection had TLS when it was refused.
func (a *Account) usedTLS(seen *greeting) bool {
	switch a.TLS.Mode {
	case Disabled, "":
		return false
	case Preferred:
		return seen.offer == offersTLS
	}
	return true
}

// refusedByCommand is Refused for errors of the library behind Conn.
func refusedByCommand(err error) int {
	var refused *mysql.MyError
	if errors.As(err, &refused) {
		return int(refused.Code)
	}
	return 0
}
