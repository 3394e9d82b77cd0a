package badinput

import (
	"net"
	"strings"
	"testing"

	"github.com/millrace/millrace/connectors/mysql"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
)

func config(addr string) mysql.Config {
	cfg := mysql.DefaultConfig()
	cfg.Address, cfg.User, cfg.Tables = addr, "root", []string{"shop2.*"}
	return cfg
}

// besides checks that the scripted pipeline flows whatever the other one does.
func (r *rig) besides() {
	r.t.Helper()
	r.script.Commit(r.orders.Put(100+r.script.Len(), "goes on"))
	r.equal(r.orders, r.items)
}

func (r *rig) reason(name string) func() string {
	return func() string { return r.pipeline(name).LastErr }
}

func TestASourceThatIsNotThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	r := newRig(t)
	r.mysql["away"] = config(addr)
	r.add("away")
	r.start()
	r.says("the pipeline", r.reason("away"), addr, "connection refused", "root")
	if s := r.pipeline("away").State; s != pipeline.StateRetrying && s != pipeline.StateStarting {
		t.Errorf("state %s", s)
	}
	r.besides()
}

func TestASourceThatRefuses(t *testing.T) {
	server := testenv.MariaDB(t)
	db, err := server.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range []string{
		"CREATE DATABASE shop2", "CREATE TABLE shop2.a (id INT PRIMARY KEY)", "CREATE USER poor@'%' IDENTIFIED BY 'secret-pw'", "GRANT SELECT ON shop2.* TO poor@'%'",
	} {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	r := newRig(t)
	wrong, poor := config(server.Addr), config(server.Addr)
	wrong.User, wrong.Password = "poor", "other-pw"
	poor.User, poor.Password = "poor", "secret-pw"
	r.mysql["wrong"], r.mysql["poor"] = wrong, poor
	r.add("wrong")
	r.add("poor")
	r.start()
	r.says("a wrong password", r.reason("wrong"), "Access denied", "poor", server.Addr)
	r.says("missing privileges", r.reason("poor"), "GRANT", "poor")
	for _, name := range []string{"wrong", "poor"} {
		if text := r.reason(name)(); strings.Contains(text, "secret-pw") || strings.Contains(text, "other-pw") {
			t.Errorf("the password is in %q", text)
		}
	}
	r.besides()
}

// TestTwoReadersWithOneServerID: the server throws one of them out.
func TestTwoReadersWithOneServerID(t *testing.T) {
	server := testenv.MariaDB(t)
	db, err := server.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range []string{"CREATE DATABASE shop2", "CREATE TABLE shop2.a (id INT PRIMARY KEY)"} {
		if _, err := db.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
	r := newRig(t)
	one := config(server.Addr)
	one.ServerID = 4711
	r.mysql["one"], r.mysql["two"] = one, one
	r.add("one")
	r.add("two")
	r.start()
	r.says("one of them", func() string { return r.reason("one")() + r.reason("two")() },
		"another replica uses the same server_id", "set source.server_id")
	r.besides()
}
