package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
)

// TestAnotherServerThanThePipelinesIsNotCompared has a daemon name the server whose log the
// pipeline reads; the address of the source leads to it, and to another one.
func TestAnotherServerThanThePipelinesIsNotCompared(t *testing.T) {
	server, dir := testenv.MariaDB(t), t.TempDir()
	db, err := server.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range []string{"CREATE DATABASE shop", "CREATE TABLE shop.t (id INT PRIMARY KEY)", "INSERT INTO shop.t VALUES (1)"} {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	var identity string
	if err := db.QueryRow("SELECT CONCAT(IF(@@GLOBAL.server_uid<>'', @@GLOBAL.server_uid, @@GLOBAL.gtid_domain_id),'/',@@GLOBAL.server_id)").Scan(&identity); err != nil {
		t.Fatal(err)
	}
	said := pipeline.Status{Name: "shop"}
	daemon := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err := json.NewEncoder(w).Encode(said); err != nil {
			t.Error(err)
		}
	}))
	defer daemon.Close()
	file := filepath.Join(dir, "shop.yaml")
	text := fmt.Sprintf("version: 1\nname: shop\nsource: {type: mysql, address: %q, user: root, tables: [shop.*]}\nsinks: [{name: lake, type: parquet, path: %s}]\n",
		server.Addr, filepath.Join(dir, "lake"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "lake"), 0o700); err != nil {
		t.Fatal(err)
	}
	address := strings.TrimPrefix(daemon.URL, "http://")
	for _, c := range []struct {
		name, server, daemon string
		status               int
		want, not            string
	}{
		{"its server", identity, address, exitRuntime, "only in the source: id=1", "not known"},
		{"another server", "0badcafe/9", address, exitEnvironment, "the address leads to another server: it is " + identity, "id=1"},
		{"and which one it reads", "0badcafe/9", address, exitEnvironment, "the pipeline reads 0badcafe/9, as the daemon at " + address + " says: nothing was compared", "id=1"},
		{"not opened since it was started", "", address, exitRuntime, "is not known, so that the one at its address is taken: the daemon at " + address + " has not opened", ""},
		{"no daemon", "", "127.0.0.1:1", exitRuntime, "which server the pipeline reads is not known", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			said.Source.Server = c.server
			out, status := execute(t, "pipeline", "verify", "--wait", "1ms", "--quiet", "--daemon", c.daemon, file)
			if status != c.status || !strings.Contains(out, c.want) || c.not != "" && strings.Contains(out, c.not) {
				t.Errorf("status %d, want %d; wanted %q and no %q in\n%s", status, c.status, c.want, c.not, out)
			}
		})
	}
}
