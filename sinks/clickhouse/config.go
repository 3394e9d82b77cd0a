package clickhouse

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/clickhouse/column"
	"github.com/millrace/millrace/sinks/clickhouse/ddl"
	"github.com/millrace/millrace/sinks/clickhouse/readback"
	"github.com/millrace/millrace/sinks/clickhouse/server"
)

// Config is the clickhouse part of a sink in a pipeline file.
type Config struct {
	// Address is host:port of the native protocol. Several are names of one server: the first
	// that answers is used.
	Address  []string      `yaml:"address"`
	User     string        `yaml:"user"`
	Password config.Secret `yaml:"password"`
	TLS      TLS           `yaml:"tls"`
	// Database and Table name the target of a source table; {db} and {table} stand for its
	// own names.
	Database string `yaml:"database"`
	Table    string `yaml:"table"`
	// ControlDatabase holds the sink's bookkeeping, of all pipelines.
	ControlDatabase string `yaml:"control_database"`
	// Mode is what the tables are of their sources; Tables has exceptions, by source name.
	Mode   Mode             `yaml:"mode"`
	Tables map[string]Shape `yaml:"tables"`
	// SchemaChange is what is done with changes of definitions.
	SchemaChange SchemaChange `yaml:"schema_change"`
	// Deletes is what becomes of rows that go.
	Deletes Deletes `yaml:"deletes"`
	// PartitionBy and TTL are expressions over the columns of the tables that are made.
	PartitionBy string `yaml:"partition_by"`
	TTL         string `yaml:"ttl"`
	Compression string `yaml:"compression"` // lz4 | zstd | none
	// OutOfRange and ZeroDate say what becomes of dates that a column can't hold.
	OutOfRange column.Choice `yaml:"out_of_range"`
	ZeroDate   column.Choice `yaml:"zero_date"`
	// Rewind is how far back rows are sent again when the server has started anew: what it
	// acknowledged in that time may not have been on its disk.
	Rewind config.Duration `yaml:"rewind"`
	// CleanUp is how deleted rows go from the target's disk.
	CleanUp CleanUp `yaml:"clean_up"`
	// Timeout is how long a statement may be without an answer.
	Timeout config.Duration `yaml:"timeout"`
	// Adopt, Cluster and Engine are what others have and this sink has not: it says why.
	Adopt   string `yaml:"adopt"`
	Cluster string `yaml:"cluster"`
	Engine  string `yaml:"engine"`
	// Settings are those of the tables that are made.
	Settings map[string]string `yaml:"settings"`
}

// TLS is how a connection is encrypted.
type TLS struct {
	Enabled    bool   `yaml:"enabled"`
	CA         string `yaml:"ca"` // file; the system's when empty
	ServerName string `yaml:"server_name"`
	SkipVerify bool   `yaml:"skip_verify"`
}

// CleanUp is how deleted rows go from the target's disk.
type CleanUp struct {
	// Every is how often is looked at least whether there are enough; 0 turns it off.
	Every config.Duration `yaml:"every"`
}

// DefaultConfig is what holds where a pipeline file says nothing.
func DefaultConfig() Config {
	p := column.DefaultPolicy()
	return Config{
		User: "default", Database: "{db}", Table: "{table}", ControlDatabase: "millrace", Compression: "lz4",
		Mode: Mirror, SchemaChange: SchemaChange{Other: lenient}, Deletes: Deletes{Mode: ApplyDeletes},
		OutOfRange: p.Range, ZeroDate: p.ZeroDate,
		CleanUp: CleanUp{Every: config.Duration(10 * time.Minute)},
		Rewind:  config.Duration(10 * time.Minute), Timeout: config.Duration(5 * time.Minute),
	}
}

// MostRows and MostBytes are the largest block that a server takes in one piece, with room to
// spare.
const (
	MostRows  = 1_000_000
	MostBytes = 256 << 20
)

var settingName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// Validate says what is wrong first, as a *config.KeyError.
func (c *Config) Validate() error {
	bad := func(key, format string, a ...any) error {
		return &config.KeyError{Key: key, Text: fmt.Sprintf(format, a...)}
	}
	if len(c.Address) == 0 {
		return bad("address", "a server is needed, e.g. address: [ch1:9000]")
	}
	for _, a := range c.Address {
		if host, port, err := net.SplitHostPort(a); err != nil || host == "" || port == "" {
			return bad("address", "%q is no host:port of the native protocol (9000, or 9440 with TLS)", a)
		}
	}
	for key, name := range map[string]string{"database": c.Database, "table": c.Table} {
		if rest := placeholder.ReplaceAllString(name, ""); name == "" || strings.ContainsAny(rest, "{}\x00") {
			return bad(key, "%q must be a name; {db} and {table} stand for the source's", name)
		}
	}
	if strings.ContainsAny(c.ControlDatabase, "{}.\x00") || c.ControlDatabase == "" {
		return bad("control_database", "%q must be the name of one database, without a point", c.ControlDatabase)
	}
	switch {
	case c.User == "":
		return bad("user", "a user is needed")
	case c.Rewind < 0:
		return bad("rewind", "must not be below zero; 0 is for servers with fsync_after_insert or a quorum")
	case c.Rewind.D() > maxRewind:
		return bad("rewind", "must be at most %s", maxRewind)
	case c.CleanUp.Every < 0 || c.CleanUp.Every > 0 && c.CleanUp.Every.D() < time.Minute:
		return bad("clean_up.every", "must be 1m or more, or 0s to leave deleted rows on the target's disk")
	case c.Timeout.D() < time.Second:
		return bad("timeout", "must be 1s or more")
	}
	if tls := c.TLS; !tls.Enabled && tls != (TLS{}) {
		return bad("tls", "ca, server_name and skip_verify are without effect here: add enabled: true, or leave tls out")
	}
	switch c.Compression {
	case "lz4", "zstd", "none":
	default:
		return bad("compression", "must be lz4, zstd or none")
	}
	switch {
	case c.Adopt != "":
		return bad("adopt", "is not supported: a table that another program made has neither the numbers nor the constraints that rows are counted by; "+
			"have a target of its own filled, and see Moving over in docs/clickhouse.md")
	case c.Cluster != "":
		return bad("cluster", "is not supported yet: fence and ledger are one server's, and a second replica would take what a replaced owner writes; "+
			"write to one server, and have the others read from it")
	case c.Engine != "":
		return bad("engine", "is the sink's choice: replicated engines are not supported yet, and others don't keep the newest version of a row; leave it out")
	}
	if err := c.validateShapes(); err != nil {
		return err
	}
	if err := c.policy().Validate(); err != nil {
		key, text, _ := strings.Cut(err.Error(), " ")
		return bad(key, "%s", text)
	}
	return nil
}

var placeholder = regexp.MustCompile(`\{(db|table)\}`)

func (c *Config) policy() column.Policy {
	return column.Policy{Range: c.OutOfRange, ZeroDate: c.ZeroDate}
}

// target is the name that a source table has in the target.
func (c *Config) target(t event.TableName) ddl.Name {
	named := func(s string) string {
		return placeholder.ReplaceAllStringFunc(s, func(p string) string {
			if p == "{db}" {
				return t.DB
			}
			return t.Table
		})
	}
	return ddl.Name{Database: named(c.Database), Table: named(c.Table)}
}

// Target is the name of a source table's target.
func (c *Config) Target(table string) string {
	name, err := event.ParseTableName(table)
	if err != nil {
		return table // it is refused where it stands
	}
	return c.target(name).Plain()
}

// Readback are the options of the reader of a pipeline's tables.
func (c *Config) Readback(pipelineName string) (readback.Options, error) {
	o, err := c.options()
	return readback.Options{
		Addr: o.Addr, User: o.User, Password: o.Password, TLS: o.TLS, Control: c.ControlDatabase, Pipeline: pipelineName,
		Target: func(t event.TableName) (string, string) {
			name := c.target(t)
			return name.Database, name.Table
		},
	}, err
}

// connections are those of one sink.
const connections = 32

// options are those of the connection.
func (c *Config) options() (server.Options, error) {
	o := server.Options{
		Addr: c.Address, User: c.User, Password: c.Password.Reveal(), Compression: c.Compression,
		DialTimeout: min(c.Timeout.D(), 10*time.Second), Answer: c.Timeout.D(), Conns: connections,
	}
	if !c.TLS.Enabled {
		return o, nil
	}
	o.TLS = &tls.Config{ServerName: c.TLS.ServerName, InsecureSkipVerify: c.TLS.SkipVerify}
	if c.TLS.CA != "" {
		pem, err := os.ReadFile(c.TLS.CA)
		if err != nil {
			return o, &config.KeyError{Key: "tls.ca", Text: err.Error()}
		}
		o.TLS.RootCAs = x509.NewCertPool()
		if !o.TLS.RootCAs.AppendCertsFromPEM(pem) {
			return o, &config.KeyError{Key: "tls.ca", Text: c.TLS.CA + " holds no certificate"}
		}
	}
	return o, nil
}
