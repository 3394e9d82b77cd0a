package mysql

import (
	"path/filepath"
	"testing"

	"github.com/millrace/millrace/connectors/mysql/account"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// TestAnAccountThatDemandsTLS: questions, snapshot and stream all go over connections
// whose server was checked. MySQL makes itself an authority and a certificate.
func TestAnAccountThatDemandsTLS(t *testing.T) {
	srv := testenv.MySQL(t)
	db, err := srv.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // without TLS, from before it is demanded
	exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY)", "INSERT INTO shop.a VALUES (1)",
		"CREATE USER secure@'%' IDENTIFIED BY 'pw' REQUIRE SSL", "GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO secure@'%'",
		"SET GLOBAL require_secure_transport=ON")
	cfg := testConfig(srv, "shop.*")
	cfg.User, cfg.Password = "secure", "pw"
	cfg.TLS = account.TLS{Mode: account.VerifyCA, CA: filepath.Join(srv.Data, "ca.pem")}
	s := newSource(t, cfg)
	openSource(t, s, pipeline.Resume{})
	s.RequestSnapshot([]event.TableName{{DB: "shop", Table: "a"}}, "new")
	drive(t, s, newTarget(t), func(it *event.Item) bool { return it.Kind == event.KindEnd })
	exec(t, db, "INSERT INTO shop.a VALUES (2)")
	collect(t, s, upTo("-> 2"))
}
