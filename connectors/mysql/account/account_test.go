package account

import (
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
)

// connected asks over both ways of connecting which cipher the connection has, "" for
// none; both must agree.
func connected(t *testing.T, a Account) (cipher string, err error) {
	t.Helper()
	db, err := a.DB(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var name string
	asked := db.QueryRowContext(t.Context(), "SHOW SESSION STATUS LIKE 'Ssl_cipher'").Scan(&name, &cipher)
	conn, dialed := a.Conn(t.Context(), nil)
	if (asked == nil) != (dialed == nil) {
		t.Fatalf("the two ways differ: %v, %v", asked, dialed)
	}
	if asked != nil {
		return "", errors.Join(asked, dialed)
	}
	defer conn.Close()
	r, err := conn.Execute("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
	if err != nil {
		t.Fatal(err)
	}
	other, err := r.GetString(0, 1)
	if err != nil {
		t.Fatal(err)
	}
	if (other == "") != (cipher == "") {
		t.Fatalf("the two ways differ: cipher %q and %q", cipher, other)
	}
	return cipher, nil
}

func administrate(t *testing.T, srv *testenv.Server, statements ...string) {
	t.Helper()
	db, err := srv.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// scene is a server of either kind that has a certificate, and its authorities.
type scene struct {
	srv     *testenv.Server
	ca      *authority
	other   *authority // which signed nothing of the server's
	cert    string     // a client's, signed by ca
	certKey string
}

func secured(t *testing.T, start func(testing.TB, ...string) *testenv.Server, args ...string) *scene {
	s := &scene{ca: newAuthority(t, "ours"), other: newAuthority(t, "another")}
	cert, key := s.ca.issue(t, "server", "db.example")
	s.cert, s.certKey = s.ca.issue(t, "client", "millrace")
	s.srv = start(t, append(args, "--ssl-ca="+s.ca.file, "--ssl-cert="+cert, "--ssl-key="+key)...)
	return s
}

var kinds = map[string]func(testing.TB, ...string) *testenv.Server{"mariadb": testenv.MariaDB, "mysql": testenv.MySQL}

func TestModesAgainstAServerWithACertificate(t *testing.T) {
	for kind, start := range kinds {
		t.Run(kind, func(t *testing.T) {
			s := secured(t, start)
			administrate(t, s.srv, "CREATE USER plain@'%' IDENTIFIED BY 'pw'", "CREATE USER encrypted@'%' IDENTIFIED BY 'pw' REQUIRE SSL",
				"CREATE USER certified@'%' IDENTIFIED BY 'pw' REQUIRE X509")
			own := TLS{Mode: Required, Cert: s.cert, Key: s.certKey}
			for _, c := range []struct {
				name   string
				user   string
				tls    TLS
				cipher bool
				fails  string // a part of the error
			}{
				{"disabled", "plain", TLS{Mode: Disabled}, false, ""},
				{"preferred", "plain", TLS{Mode: Preferred}, true, ""},
				{"required", "plain", TLS{Mode: Required}, true, ""},
				{"the authority is trusted", "plain", TLS{Mode: VerifyCA, CA: s.ca.file}, true, ""},
				{"another authority is trusted", "plain", TLS{Mode: VerifyCA, CA: s.other.file}, false, "set source.tls.ca"},
				{"the system's authorities", "plain", TLS{Mode: VerifyCA}, false, "set source.tls.ca"},
				{"the identity by its name", "plain", TLS{Mode: VerifyIdentity, CA: s.ca.file, ServerName: "db.example"}, true, ""},
				{"the address is not in the certificate", "plain", TLS{Mode: VerifyIdentity, CA: s.ca.file}, false, "set source.tls.server_name"},
				{"another authority and the right name", "plain", TLS{Mode: VerifyIdentity, CA: s.other.file, ServerName: "db.example"}, false, "set source.tls.ca"},
				{"an account that demands TLS, without", "encrypted", TLS{Mode: Disabled}, false, "source.tls.mode is disabled"},
				{"an account that demands TLS", "encrypted", TLS{Mode: Preferred}, true, ""},
				{"an account that demands a certificate, without", "certified", TLS{Mode: Preferred}, false, "set source.tls.cert and source.tls.key"},
				{"an account that demands a certificate", "certified", own, true, ""},
				{"a file that is not there", "plain", TLS{Mode: VerifyCA, CA: s.ca.dir + "/none.pem"}, false, "source.tls.ca: open"},
				{"a file without a certificate", "plain", TLS{Mode: VerifyCA, CA: s.certKey}, false, "holds no certificate"},
				{"a key of another certificate", "certified", TLS{Mode: Required, Cert: s.ca.file, Key: s.certKey}, false, "source.tls.cert and source.tls.key"},
			} {
				t.Run(c.name, func(t *testing.T) {
					cipher, err := connected(t, Account{Address: s.srv.Addr, User: c.user, Password: "pw", TLS: c.tls})
					switch {
					case c.fails == "" && err != nil:
						t.Fatal(err)
					case c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)):
						t.Fatalf("error %v, wanted one with %q", err, c.fails)
					case c.fails == "" && (cipher != "") != c.cipher:
						t.Fatalf("cipher %q", cipher)
					}
				})
			}
		})
	}
}

func TestAServerThatTakesNothingWithoutTLS(t *testing.T) {
	for kind, start := range kinds {
		t.Run(kind, func(t *testing.T) {
			s := secured(t, start)
			administrate(t, s.srv, "CREATE USER plain@'%' IDENTIFIED BY 'pw'")
			db, err := sql.Open("mysql", s.srv.DSN("")+"&tls=skip-verify")
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if _, err := db.Exec("SET GLOBAL require_secure_transport=ON"); err != nil {
				t.Fatal(err)
			}
			_, err = connected(t, Account{Address: s.srv.Addr, User: "plain", Password: "pw", TLS: TLS{Mode: Disabled}})
			if err == nil || !strings.Contains(err.Error(), "require_secure_transport") ||
				!strings.Contains(err.Error(), "source.tls.mode is disabled") {
				t.Fatalf("the error does not name what the server demands: %v", err)
			}
			if cipher, err := connected(t, Account{Address: s.srv.Addr, User: "plain", Password: "pw", TLS: TLS{Mode: Preferred}}); err != nil ||
				cipher == "" {
				t.Fatalf("preferred: cipher %q, %v", cipher, err)
			}
		})
	}
}

func TestAServerWithoutTLS(t *testing.T) {
	for kind, start := range kinds {
		t.Run(kind, func(t *testing.T) {
			args := map[string][]string{"mysql": {"--tls-version="}, "mariadb": {"--skip-ssl"}}[kind]
			srv := start(t, args...)
			administrate(t, srv, "CREATE USER plain@'%' IDENTIFIED BY 'pw'")
			a := Account{Address: srv.Addr, User: "plain", Password: "pw", TLS: TLS{Mode: Preferred}}
			if cipher, err := connected(t, a); err != nil || cipher != "" {
				t.Fatalf("preferred: cipher %q, %v", cipher, err)
			}
			for _, mode := range []Mode{Required, VerifyCA, VerifyIdentity} {
				a.TLS.Mode = mode
				if _, err := connected(t, a); err == nil || !strings.Contains(err.Error(), "the server offers no TLS") {
					t.Fatalf("%s went on without TLS, or does not say what is missing: %v", mode, err)
				}
			}
			a.TLS.Mode, a.Password = Preferred, "wrong"
			if _, err := connected(t, a); err == nil || !strings.Contains(err.Error(), "the server offers none") ||
				!strings.Contains(err.Error(), "source.password is wrong") {
				t.Fatalf("a wrong password: %v", err)
			}
		})
	}
}

// TestReplacedCertificatesNeedNoRestart: the files are read for each connection.
func TestReplacedCertificatesNeedNoRestart(t *testing.T) {
	s := secured(t, testenv.MariaDB)
	administrate(t, s.srv, "CREATE USER plain@'%' IDENTIFIED BY 'pw'")
	ca := newAuthority(t, "third")
	a := Account{Address: s.srv.Addr, User: "plain", Password: "pw", TLS: TLS{Mode: VerifyCA, CA: ca.file}}
	db, err := a.DB(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.PingContext(t.Context()); err == nil {
		t.Fatal("the server was trusted")
	}
	writePEM(t, ca.dir, "ca.pem", "CERTIFICATE", s.ca.cert.Raw)
	if err := db.PingContext(t.Context()); err != nil {
		t.Fatalf("the new authority is not heeded: %v", err)
	}
}

// TestPlugins: each way of proving a password that the servers' defaults use, with TLS and
// without.
func TestPlugins(t *testing.T) {
	t.Run("mysql", func(t *testing.T) {
		srv := testenv.MySQL(t)
		administrate(t, srv, "CREATE USER sha2@'%' IDENTIFIED WITH caching_sha2_password BY 'pw'")
		for _, mode := range []Mode{Disabled, Preferred} {
			for _, when := range []string{"first", "cached"} {
				if _, err := connected(t, Account{Address: srv.Addr, User: "sha2", Password: "pw", TLS: TLS{Mode: mode}}); err != nil {
					t.Errorf("caching_sha2_password, %s, %s: %v", mode, when, err)
				}
			}
			administrate(t, srv, "FLUSH PRIVILEGES") // empties the server's cache of passwords
		}
	})
	t.Run("mariadb", func(t *testing.T) {
		s := secured(t, testenv.MariaDB, "--plugin-dir="+testenv.MariaDBPlugins(t), "--plugin-load-add=auth_ed25519")
		administrate(t, s.srv, "CREATE USER ed@'%' IDENTIFIED VIA ed25519 USING PASSWORD('pw')")
		for _, mode := range []Mode{Disabled, Preferred} {
			if _, err := connected(t, Account{Address: s.srv.Addr, User: "ed", Password: "pw", TLS: TLS{Mode: mode}}); err != nil {
				t.Errorf("ed25519, %s: %v", mode, err)
			}
		}
		if _, err := connected(t, Account{Address: s.srv.Addr, User: "ed", Password: "wrong", TLS: TLS{Mode: Preferred}}); err == nil {
			t.Error("a wrong password was taken")
		}
	})
}

func TestMistakesNameTheirKeys(t *testing.T) {
	for _, c := range []struct {
		tls  TLS
		want string // the keys, in order
	}{
		{TLS{Mode: Preferred}, ""},
		{TLS{Mode: VerifyIdentity, CA: "ca", Cert: "c", Key: "k", ServerName: "n"}, ""},
		{TLS{Mode: "on"}, "tls.mode"},
		{TLS{}, "tls.mode"},
		{TLS{Mode: Required, Cert: "c"}, "tls.key"},
		{TLS{Mode: Required, Key: "k"}, "tls.cert"},
		{TLS{Mode: Required, CA: "ca"}, "tls.ca"},
		{TLS{Mode: Disabled, CA: "ca"}, "tls.mode"},
	} {
		var keys []string
		for _, err := range c.tls.Mistakes() {
			key, _, _ := strings.Cut(err.Error(), ":")
			keys = append(keys, key)
		}
		if got := strings.Join(keys, " "); got != c.want {
			t.Errorf("%+v: mistakes at %q, wanted %q", c.tls, got, c.want)
		}
	}
}

func FuzzGreeting(f *testing.F) {
	f.Add([]byte("\x4a\x00\x00\x00\x0a8.0.1\x00\x01\x00\x00\x0012345678\x00\xff\xff"), 3)
	f.Add([]byte("\x4a\x00\x00\x00\x0a8.0.1\x00\x01\x00\x00\x0012345678\x00\xff\xf7"), 100)
	f.Fuzz(func(t *testing.T, packet []byte, step int) {
		whole, parts := &greeting{}, &greeting{}
		whole.take(packet)
		step = max(step, 1)
		for b := packet; len(b) > 0; {
			n := min(step, len(b))
			parts.take(b[:n])
			b = b[n:]
		}
		if whole.offer != parts.offer {
			t.Fatalf("offer %d whole, %d in parts of %d", whole.offer, parts.offer, step)
		}
		if len(parts.begun) > greetingBytes {
			t.Fatalf("%d bytes are kept", len(parts.begun))
		}
	})
}
