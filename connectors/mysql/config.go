package mysql

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/connectors/mysql/account"
	"github.com/millrace/millrace/connectors/mysql/held"
	"github.com/millrace/millrace/connectors/mysql/schema"
	"github.com/millrace/millrace/pipeline"
)

// Config says which server to read, what of it, and how.
type Config struct {
	// Address is host:port, or the path of a unix socket.
	Address  string `yaml:"address"`
	User     string `yaml:"user"`
	Password string `yaml:"password"`
	// TLS is what connections to the server need of TLS.
	TLS account.TLS `yaml:"tls"`
	// Tables are patterns over "db.table", * matching any run of characters; a pattern
	// that begins with ! takes out again. The last one that matches decides.
	Tables []string `yaml:"tables"`
	// Queues is the number of queues of a table, TableQueues the exceptions by name. They, and
	// Keys, come from what the pipeline file says beside the source.
	Queues      int            `yaml:"-"`
	TableQueues map[string]int `yaml:"-"`
	// Keys overrides the columns that choose a row's queue, by "db.table".
	Keys     map[string][]string `yaml:"-"`
	Snapshot SnapshotConfig      `yaml:"snapshot"`
	// ServerID is the number this reader shows to the server as a replica; no other
	// replica may use it. 0 takes a random high one at each New.
	ServerID uint32 `yaml:"server_id"`
	// Heartbeat is how often a silent server says that it lives; a connection silent for
	// three times as long is given up.
	Heartbeat time.Duration `yaml:"heartbeat"`
	// AllowStatementFormat lets a server with binlog_format ≠ ROW pass Preflight when it
	// is known that every session sets it.
	AllowStatementFormat bool `yaml:"allow_statement_format"`
	// AuditEvery is how often all definitions are compared with the server's own.
	AuditEvery time.Duration `yaml:"-"`
	// Held is given by the daemon, not by the pipeline file.
	Held HeldConfig `yaml:"-"`
}

// HeldConfig says where transactions wait until it is known how they end.
type HeldConfig struct {
	// Dir is the directory of files for what does not fit into memory; "" is the system's
	// for temporary files. Nothing in it is needed after the process ends.
	Dir string
	// Memory is the bound in bytes; 0 is held.DefaultMemory.
	Memory int64
}

// SnapshotConfig says how tables are read as a whole.
type SnapshotConfig struct {
	// Mode is initial (new tables get an attempt), never, or when_needed. The source
	// itself begins attempts only when asked; the runner reads this.
	Mode      pipeline.SnapshotMode `yaml:"mode"`
	ChunkRows int                   `yaml:"chunk_rows"`
	Parallel  int                   `yaml:"parallel"`
}

// DefaultConfig is what a pipeline file need not say.
func DefaultConfig() Config {
	return Config{
		Address:   "127.0.0.1:3306",
		TLS:       account.TLS{Mode: account.Preferred},
		Queues:    4,
		Heartbeat: 5 * time.Second, AuditEvery: 10 * time.Minute,
		Snapshot: SnapshotConfig{Mode: pipeline.SnapshotInitial, ChunkRows: 8192, Parallel: 2},
	}
}

// Validate reports every mistake that can be seen without the server.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if c.Address == "" {
		bad("address: is empty; give host:port")
	} else if !strings.HasPrefix(c.Address, "/") {
		if _, port, err := net.SplitHostPort(c.Address); err != nil {
			bad("address: %q is not host:port", c.Address)
		} else if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			bad("address: %q is no port of %q; ports are 1 to 65535", port, c.Address)
		}
	}
	if c.User == "" {
		bad("user: is empty")
	}
	errs = append(errs, c.TLS.Mistakes()...)
	if _, err := schema.ParseFilter(c.Tables); err != nil {
		bad("tables: %w", err)
	}
	if c.Queues < 1 || c.Queues > 1024 {
		bad("queues: %d is not between 1 and 1024", c.Queues)
	}
	for name, n := range c.TableQueues {
		if n < 1 || n > 1024 {
			bad("queues of %s: %d is not between 1 and 1024", name, n)
		}
	}
	switch c.Snapshot.Mode {
	case pipeline.SnapshotInitial, pipeline.SnapshotNever, pipeline.SnapshotWhenNeeded:
	default:
		bad("snapshot.mode: %q is not initial, never or when_needed", c.Snapshot.Mode)
	}
	if c.Snapshot.ChunkRows < 1 || c.Snapshot.ChunkRows > 1<<20 {
		bad("snapshot.chunk_rows: %d is not between 1 and %d", c.Snapshot.ChunkRows, 1<<20)
	}
	if c.Snapshot.Parallel < 1 || c.Snapshot.Parallel > 64 {
		bad("snapshot.parallel: %d is not between 1 and 64", c.Snapshot.Parallel)
	}
	if c.Heartbeat < 100*time.Millisecond || c.Heartbeat > time.Hour {
		bad("heartbeat: %s is not between 100ms and 1h", c.Heartbeat)
	}
	return errors.Join(errs...)
}

// Account is whom to connect to, and how. Whoever makes several connections says in its
// Server that they are to lead to one.
func (c *Config) Account() account.Account {
	return account.Account{Address: c.Address, User: c.User, Password: c.Password, TLS: c.TLS}
}

// unreached is the error of a connection that was not made. What the server answered says
// itself what is to be done; where nothing answered the address may be another one's.
func (c *Config) unreached(err error) error {
	if account.Refused(err) != 0 {
		return fmt.Errorf("connect to %s as %s: %w", c.Address, c.User, err)
	}
	return fmt.Errorf("connect to %s as %s: %w; see that the server runs there and can be reached, and that source.address is right",
		c.Address, c.User, err)
}

// serverID is the configured replica number or a random one far above those that
// people give out by hand.
func (c *Config) serverID() uint32 {
	if c.ServerID != 0 {
		return c.ServerID
	}
	return 1<<31 | rand.Uint32()>>1
}

func (c *Config) heldDir() string {
	if c.Held.Dir == "" {
		return os.TempDir()
	}
	return c.Held.Dir
}

func (c *Config) heldMemory() int64 {
	if c.Held.Memory == 0 {
		return held.DefaultMemory
	}
	return c.Held.Memory
}
