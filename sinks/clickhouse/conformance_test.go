package clickhouse

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/pipelinetest"
	"github.com/millrace/millrace/sinks/clickhouse/readback"
)

// target is a configuration for one test on a server.
func targetOn(t testing.TB, d testenv.ClickHouseDatabase) Config {
	t.Helper()
	o, err := d.Options()
	if err != nil {
		t.Fatal(err)
	}
	c := DefaultConfig()
	c.Address, c.User, c.Password = o.Addr, o.Auth.Username, config.Secret(o.Auth.Password)
	if c.User == "" {
		c.User = "default"
	}
	c.Database, c.ControlDatabase = d.Name, d.Name
	return c
}

func reader(t testing.TB, c Config, pipelineName string) pipeline.Reader {
	t.Helper()
	o, err := c.Readback(pipelineName)
	if err != nil {
		t.Fatal(err)
	}
	r, err := readback.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// dropLater drops a database of a test.
func dropLater(t testing.TB, d testenv.ClickHouseDatabase, name string) {
	t.Helper()
	conn, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer conn.Close()
		if err := conn.Exec(context.Background(), "DROP DATABASE IF EXISTS "+name+" SYNC"); err != nil {
			t.Error(err)
		}
	})
}

// shapes are the ways in which the suites have tables made.
var shapes = map[string]func(*Config){
	"mirror":    func(*Config) {},
	"changelog": func(c *Config) { c.Mode = Changelog },
	"signed":    func(c *Config) { c.Mode = Signed },
	"shaped": func(c *Config) {
		names := pipelinetest.Everything(1).Names()
		c.Tables = map[string]Shape{
			names[0].String(): {OrderBy: []string{"v", "id"}, PartitionBy: "cityHash64(v) % 3"},
			names[1].String(): {Deletes: Deletes{Mode: SoftDeletes}, PartitionBy: "id % 3"}, // who reads it passes over what was kept
		}
	},
}

// harmed are those that the fault suites look at: signed has all that a mirror does, and more.
func harmed() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(shapes)), func(name string) bool { return name == "mirror" })
}

func TestConformance(t *testing.T) {
	t.Parallel()
	d := testenv.ClickHouse(t)
	var made atomic.Int64
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			pipelinetest.Sink(t, func(t testing.TB) pipelinetest.SinkUnderTest {
				c := targetOn(t, d)
				shape(&c)
				n := made.Add(1)
				c.Table, c.Database = "{db} {table}", fmt.Sprintf("%s_%d", d.Name, n)
				c.ControlDatabase = c.Database
				dropLater(t, d, c.Database)
				return pipelinetest.SinkUnderTest{
					Open: func() (pipeline.Sink, error) { return New(c, nil, nil) },
					Read: func() (pipeline.Reader, error) { return reader(t, c, "p"), nil },
				}
			})
		})
	}
}
