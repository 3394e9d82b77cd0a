package selfcheck

import (
	"context"
	"database/sql"
	"fmt"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/millrace/millrace/connectors/mysql"
	"github.com/millrace/millrace/connectors/mysql/account"
	"github.com/millrace/millrace/connectors/mysql/readback"
	"github.com/millrace/millrace/e2e/inprocess"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/spec"
	"github.com/millrace/millrace/pipeline/verify"
	"github.com/millrace/millrace/sinks/delta"
	"github.com/millrace/millrace/sinks/objects"
	lakereader "github.com/millrace/millrace/sinks/parquet/readback"
)

// rig is a pipeline of a server's database shop into a lake.
type rig struct {
	t      *testing.T
	server *testenv.Server
	db     *sql.DB
	lake   string
	plan   inprocess.Plan
	every  string // how often the pipeline compares by itself
	broker *inprocess.Cluster
	daemon *inprocess.Daemon
}

const file = `version: 1
name: shop
source: {type: script}
queues: 2
sinks:
  - {name: lake, type: parquet, path: %s, flush: {rows: 1000, bytes: 1MiB, interval: 50ms}, current: {interval: 200ms}}
verify: {every: %s, rows_per_second: 1000000, repair: %v}
`

func newRig(t *testing.T, server *testenv.Server) *rig {
	r := &rig{t: t, server: server, every: "1s", lake: filepath.ToSlash(t.TempDir()), broker: inprocess.New(t, nil)}
	var err error
	if r.db, err = server.Open(""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.db.Close() })
	cfg := mysql.DefaultConfig()
	cfg.Address, cfg.User, cfg.Tables, cfg.Queues = server.Addr, "root", []string{"shop.*"}, 2
	r.plan = inprocess.Plan{
		Dir:    t.TempDir(),
		Source: func(*spec.Pipeline) (pipeline.Source, error) { return mysql.New(cfg, inprocess.Log(), nil) },
		SourceReader: func(*spec.Pipeline) (pipeline.Reader, error) {
			return readback.New(readback.Config{
				Account:  account.Account{Address: server.Addr, User: "root"},
				Captured: func(n event.TableName) bool { return n.DB == "shop" },
			})
		},
	}
	r.write(false)
	t.Cleanup(r.stop)
	return r
}

func (r *rig) write(repair bool) {
	r.plan.Write(r.t, "shop.yaml", fmt.Sprintf(file, r.lake, r.every, repair))
}

func (r *rig) start() { r.daemon = r.broker.Daemon(r.plan) }

func (r *rig) stop() {
	if r.daemon != nil {
		if err := r.daemon.Stop(); err != nil {
			r.t.Error(err)
		}
		r.daemon = nil
	}
}

func (r *rig) exec(statements ...string) {
	r.t.Helper()
	for _, s := range statements {
		if _, err := r.db.ExecContext(r.t.Context(), s); err != nil {
			r.t.Fatalf("%s: %v", s, err)
		}
	}
}

// verified is what the status says of a table.
func (r *rig) verified(table string) pipeline.Verified {
	if t, ok := r.daemon.Table("shop." + table); ok && len(t.Sinks) == 1 && t.Sinks[0].Verified != nil {
		return *t.Sinks[0].Verified
	}
	return pipeline.Verified{}
}

func (r *rig) await(what string, ok func() bool) {
	r.t.Helper()
	for range 3 { // a busy machine
		if inprocess.Await(ok) {
			return
		}
	}
	for _, table := range []string{"keyed", "log", "live", "livelog"} {
		r.t.Logf("%s: %+v", table, r.verified(table))
	}
	r.t.Fatalf("waited in vain for %s: %s", what, strings.ReplaceAll(fmt.Sprintf("%+v", r.daemon.Statuses()), "} {", "}\n {"))
}

// history compares a table's changes with the table.
func (r *rig) history(table string) verify.Table {
	r.t.Helper()
	source, err := r.plan.SourceReader(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	defer source.Close()
	got, err := verify.History(r.t.Context(), source, lakereader.New(r.lake, "shop"), event.TableName{DB: "shop", Table: table}, "")
	if err != nil {
		r.t.Fatal(err)
	}
	return got
}

// metrics is what Prometheus reads of the self-check.
func (r *rig) metrics() string {
	r.t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(r.daemon.SelfChecks())
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	return answer.Body.String()
}

// writers change rows until they are stopped.
func (r *rig) writers() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				var err error
				switch id := (w*7919 + i*31) % 400; i % 4 {
				case 0:
					_, err = r.db.ExecContext(ctx, "INSERT INTO shop.live (v) VALUES (?)", fmt.Sprint("new ", i))
				case 1:
					_, err = r.db.ExecContext(ctx, "UPDATE shop.live SET v = ? WHERE id = ?", fmt.Sprint("changed ", w, i), id)
				case 2:
					_, err = r.db.ExecContext(ctx, "DELETE FROM shop.live WHERE id = ?", id+400)
				default:
					_, err = r.db.ExecContext(ctx, "INSERT INTO shop.livelog VALUES (?, ?)", w, i/8)
				}
				if err != nil && ctx.Err() == nil {
					r.t.Errorf("a writer: %v", err)
					return
				}
			}
		})
	}
	return func() {
		cancel()
		wg.Wait()
	}
}

// alter rewrites the rows of a table's current/ behind the pipeline's back: change gets each
// row with its columns by name and returns what is to be there.
func (r *rig) alter(table string, change func(row map[string]parquet.Value) []map[string]parquet.Value) {
	r.t.Helper()
	dir := filepath.Join(r.lake, "shop", "shop."+table, "current")
	log, err := delta.Open(r.t.Context(), objects.NewLocal(vfs.OS(), r.lake), path.Join("shop", "shop."+table, "current"))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, name := range log.Snapshot().Paths() {
		rewrite(r.t, filepath.Join(dir, name), change)
	}
}

func rewrite(t *testing.T, path string, change func(map[string]parquet.Value) []map[string]parquet.Value) {
	t.Helper()
	in, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		t.Fatal(err)
	}
	opened, err := parquet.OpenFile(in, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	names := opened.Schema().Columns()
	var rows []parquet.Row
	for _, group := range opened.RowGroups() {
		reader, batch := group.Rows(), make([]parquet.Row, 64)
		for {
			n, err := reader.ReadRows(batch)
			for _, row := range batch[:n] {
				rows = append(rows, changed(row.Clone(), names, change)...)
			}
			if err != nil {
				break
			}
		}
		reader.Close()
	}
	out, err := os.Create(path + ".altered")
	if err != nil {
		t.Fatal(err)
	}
	writer := parquet.NewWriter(out, opened.Schema())
	if _, err := writer.WriteRows(rows); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(out.Name(), path); err != nil {
		t.Fatal(err)
	}
}

func changed(row parquet.Row, names [][]string, change func(map[string]parquet.Value) []map[string]parquet.Value) (out []parquet.Row) {
	named := map[string]parquet.Value{}
	for _, v := range row {
		named[names[v.Column()][0]] = v
	}
	for _, one := range change(named) {
		next := make(parquet.Row, len(row))
		for i, v := range row {
			now := one[names[v.Column()][0]]
			next[i] = now.Level(v.RepetitionLevel(), v.DefinitionLevel(), v.Column())
		}
		out = append(out, next)
	}
	return out
}
