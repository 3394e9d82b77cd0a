package clickhouse

import (
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/pipeline/event"
)

func TestMistakesOfTheConfigurationAreNamed(t *testing.T) {
	good := DefaultConfig()
	good.Address = []string{"ch1:9000"}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Config){
		"address: a server is needed":              func(c *Config) { c.Address = nil },
		`address: "ch1" is no host:port`:           func(c *Config) { c.Address = []string{"ch1"} },
		`database: "" must be a name`:              func(c *Config) { c.Database = "" },
		`table: "{tabel}" must be a name`:          func(c *Config) { c.Table = "{tabel}" },
		`control_database: "{db}" must be`:         func(c *Config) { c.ControlDatabase = "{db}" },
		"user: a user is needed":                   func(c *Config) { c.User = "" },
		"adopt: is not supported: a table that":    func(c *Config) { c.Adopt = "true" },
		"cluster: is not supported yet: fence and": func(c *Config) { c.Cluster = "main" },
		"engine: is the sink's choice":             func(c *Config) { c.Engine = "ReplicatedReplacingMergeTree" },
		"rewind: must not be below zero":           func(c *Config) { c.Rewind = -1 },
		"rewind: must be at most 1h2m0s":           func(c *Config) { c.Rewind = config.Duration(2 * time.Hour) },
		"timeout: must be 1s or more":              func(c *Config) { c.Timeout = 0 },
		"compression: must be lz4":                 func(c *Config) { c.Compression = "gzip" },
		"tls: ca, server_name and skip_verify":     func(c *Config) { c.TLS.CA = "ch.pem" },
		"settings.a;b: is no setting":              func(c *Config) { c.Settings = map[string]string{"a;b": "1"} },
		"out_of_range: must be clamp, null or":     func(c *Config) { c.OutOfRange = "epoch" },
		"zero_date: must be null, epoch or":        func(c *Config) { c.ZeroDate = "clamp" },
	} {
		c := good
		change(&c)
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, not %s", err, want)
		}
	}
}

func TestATargetIsNamedByItsTemplates(t *testing.T) {
	c := DefaultConfig()
	c.Database, c.Table = "raw_{db}", "{db}-{table}"
	if got := c.target(event.TableName{DB: "{table}", Table: "o.x"}); got.Database != "raw_{table}" || got.Table != "{table}-o.x" {
		t.Errorf("%+v", got)
	}
}
