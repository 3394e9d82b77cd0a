package account

import (
	"net"
	"strings"
	"testing"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"
)

// TestAServerThatTakesConnectionsAndIsSilent: one that is frozen does so. It is waited for as
// long as the patience is, and the error says it.
func TestAServerThatTakesConnectionsAndIsSilent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := mysqldriver.NewConfig()
	cfg.Net, cfg.Addr, cfg.User = "tcp", l.Addr().String(), "root"
	c := &connector{account: Account{Address: cfg.Addr, User: "root"}, cfg: cfg, patience: 50 * time.Millisecond}
	conn, err := c.Connect(t.Context())
	if conn != nil || err == nil || !strings.Contains(err.Error(), "the server at "+cfg.Addr+" said nothing for 50ms") {
		t.Errorf("%v, %v", conn, err)
	}
}
