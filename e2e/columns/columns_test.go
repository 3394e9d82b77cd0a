package columns

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/millrace/millrace/connectors"
	"github.com/millrace/millrace/connectors/mysql"
	"github.com/millrace/millrace/e2e/inprocess"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/httpapi"
	"github.com/millrace/millrace/pipeline/spec"
	"github.com/millrace/millrace/pipeline/verify"
	"github.com/millrace/millrace/sinks"
	target "github.com/millrace/millrace/sinks/parquet/readback"
)

// secret is in every text that must not leave, card is a number that must not.
const (
	secret = "hunter2"
	card   = 4111111111111111
	salt   = "pepper for the tests"
)

const file = `version: 1
name: shop
source: {type: script}
queues: 2
hash_salt: %s
tables:
  shop.people: {columns: %s}
  shop.log: {columns: {exclude: [what], hash: [who]}}
  shop.orders: {where: %q}
  shop.moves: {where: kind = 'open', columns: {exclude: [note]}}
sinks:
- {name: lake, type: parquet, path: %s, current: {interval: 50ms}, flush: {rows: 100000, bytes: 16MiB, interval: 50ms}}
%s`

// olap is a sink beside the lake.
const olap = `- {name: olap, type: clickhouse, address: [%q], user: %q, password: %q, control_database: %q, database: %q, table: "{db}.{table}",
   flush: {rows: 100000, bytes: 16MiB, interval: 50ms}}
`

const patience = 5 * time.Minute

type scene struct {
	t      *testing.T
	db     *sql.DB
	lake   string
	log    *lines
	reg    *prometheus.Registry
	broker *inprocess.Cluster
	plan   inprocess.Plan
	daemon *inprocess.Daemon
	file   *spec.Pipeline
	house  *testenv.ClickHouseDatabase // nil where there is none
	sink   string                      // its part of the file
}

// lines is a log that can be read while it is written.
type lines struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(b)
}

func (l *lines) bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.all.Bytes())
}

func newScene(t *testing.T, server *testenv.Server, house *testenv.ClickHouseDatabase) *scene {
	s := &scene{t: t, house: house, lake: filepath.ToSlash(t.TempDir()), log: &lines{}, reg: prometheus.NewRegistry(),
		broker: inprocess.New(t, nil)}
	var err error
	if s.db, err = server.Open(""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.db.Close() })
	cfg := mysql.DefaultConfig()
	cfg.Address, cfg.User, cfg.Tables = server.Addr, "root", []string{"shop.*"}
	cfg.Heartbeat, cfg.AuditEvery = 200*time.Millisecond, time.Second
	log := slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	of := func(p *spec.Pipeline) *spec.Pipeline {
		q := *p
		q.Source = spec.Component{Type: "mysql", Config: &cfg}
		return &q
	}
	kind := connectors.Types()["mysql"]
	s.plan = inprocess.Plan{
		Dir: t.TempDir(), Log: log,
		Source: func(p *spec.Pipeline) (pipeline.Source, error) {
			s.file = of(p)
			return kind.New(of(p), connectors.Deps{Log: log})
		},
		Config:       func(p *spec.Pipeline) json.RawMessage { return kind.Config(of(p)) },
		SourceReader: func(p *spec.Pipeline) (pipeline.Reader, error) { return kind.Readback(of(p)) },
	}
	t.Cleanup(s.stop)
	if house != nil {
		o, err := house.Options()
		if err != nil {
			t.Fatal(err)
		}
		s.sink = fmt.Sprintf(olap, o.Addr[0], o.Auth.Username, o.Auth.Password, o.Auth.Database, o.Auth.Database)
	}
	return s
}

func (s *scene) write(columns, where string) {
	s.plan.Write(s.t, "shop.yaml", fmt.Sprintf(file, salt, columns, where, s.lake, s.sink))
}

func (s *scene) start() { s.daemon = s.broker.Daemon(s.plan) }

func (s *scene) stop() {
	if s.daemon != nil {
		s.look() // what was said is said until the end
		if err := s.daemon.Stop(); err != nil {
			s.t.Error(err)
		}
		s.daemon = nil
	}
}

func (s *scene) exec(statements ...string) {
	s.t.Helper()
	for _, one := range statements {
		if _, err := s.db.ExecContext(s.t.Context(), one); err != nil {
			s.t.Fatalf("%s: %v", one, err)
		}
	}
}

func (s *scene) await(what string, ok func() (bool, string)) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	inprocess.Until(ctx, s.t, what, 50*time.Millisecond, ok)
}

// equal waits until the lake holds what was asked for of a table.
func (s *scene) equal(table string) {
	s.t.Helper()
	name := event.TableName{DB: "shop", Table: table}
	s.await(table+" to be what was asked for", func() (bool, string) {
		now, known := s.daemon.Table(name.String())
		if !known || now.State != pipeline.StateRunning || now.Snapshot < 100 {
			return false, fmt.Sprintf("known %t, %+v", known, now)
		}
		server, err := connectors.Types()["mysql"].Readback(s.file)
		if err != nil {
			return false, err.Error()
		}
		defer server.Close()
		for _, sink := range s.file.Sinks {
			held, err := sinks.Readback(s.file, sink)
			if err != nil {
				return false, err.Error()
			}
			got, err := verify.Compare(s.t.Context(), server, held, name)
			if err = errors.Join(err, held.Close()); err != nil {
				return false, sink.Name + ": " + err.Error()
			}
			if !got.Equal() {
				return false, fmt.Sprintf("%s: %+v", sink.Name, got)
			}
		}
		return true, ""
	})
}

// paused waits until a table stands with a code.
func (s *scene) paused(table string, code event.PauseCode) {
	s.t.Helper()
	s.await(table+" to stop", func() (bool, string) {
		now, _ := s.daemon.Table("shop." + table)
		return now.State == pipeline.StatePaused && now.Code == code, fmt.Sprintf("%+v", now)
	})
}

// columns are those that the lake shows of a table.
func (s *scene) columns(table string) (names []string) {
	s.t.Helper()
	lake := target.New(s.lake, "shop")
	defer lake.Close()
	err := lake.Read(s.t.Context(), event.TableName{DB: "shop", Table: table}, func(all []pipeline.ReadColumn) error {
		for _, c := range all {
			names = append(names, c.Name)
		}
		return nil
	}, func([]pipeline.Cell) error { return nil })
	if err != nil {
		s.t.Fatal(err)
	}
	return names
}

func TestWhatIsKeptBackIsNowhere(t *testing.T) {
	servers := map[string]func(testing.TB, ...string) *testenv.Server{"mariadb": testenv.MariaDB, "mysql": testenv.MySQL}
	for kind, start := range servers {
		t.Run(kind, func(t *testing.T) { newScene(t, start(t), nil).play() })
	}
	t.Run("mysql into clickhouse", func(t *testing.T) {
		house := testenv.ClickHouse(t)
		newScene(t, testenv.MySQL(t), &house).play()
	})
}

const people = `CREATE TABLE shop.people (id INT PRIMARY KEY, name VARCHAR(50), email VARCHAR(100) NOT NULL DEFAULT 'hunter2-default', phone VARCHAR(50),
	card BIGINT, notes VARCHAR(100), token VARBINARY(50), born DATE, city VARCHAR(50))`

func (s *scene) play() {
	s.exec("CREATE DATABASE shop CHARACTER SET utf8mb4", people,
		"CREATE TABLE shop.log (who VARCHAR(50), what VARCHAR(100), n INT)", "CREATE TABLE shop.plain (id INT PRIMARY KEY, v INT)")
	s.exec("INSERT INTO shop.plain VALUES (1, 1)")
	for i := range 40 {
		s.exec(person(i), fmt.Sprintf("INSERT INTO shop.log VALUES ('hunter2-%d', 'hunter2 did %d', %d)", i%3, i, i%2))
	}
	s.exec("INSERT INTO shop.people (id, email) VALUES (1000, 'hunter2')") // NULL stays NULL
	s.orders(0)
	s.write("{exclude: [Email, notes, city], mask: [phone, born], hash: [card, token]}", "region IN (1, 2) AND deleted = 0")
	s.start()
	s.allEqual()
	if n := s.shown("orders"); n != 7 {
		s.t.Errorf("the lake shows %d orders", n)
	}
	if got := strings.Join(s.columns("people"), " "); got != "id name phone card token born _seq" {
		s.t.Errorf("the lake shows the columns %s", got)
	}
	s.changes(100)
	s.exec("ALTER TABLE shop.people ADD COLUMN extra INT DEFAULT 5 AFTER email",
		"ALTER TABLE shop.people ALTER email SET DEFAULT 'hunter2-other'",
		"ALTER TABLE shop.people MODIFY notes TEXT", "ALTER TABLE shop.people DROP COLUMN notes")
	s.changes(200)
	// It is excluded from the start, and its default is one that the server is asked about.
	s.exec("ALTER TABLE shop.people ADD COLUMN notes VARCHAR(60) CHARACTER SET latin1 DEFAULT 'hunter2-é'")
	s.changes(300)
	s.allEqual()

	s.stop() // the next life decodes rows of the full definition
	s.changes(400)
	s.exec("ALTER TABLE shop.people ADD COLUMN late INT AFTER id")
	s.changes(500)
	s.start()
	s.allEqual()

	s.stop() // another configuration: what was stored before was made under the old one
	s.write("{exclude: [email, notes, name], mask: [phone, born], hash: [card, token]}", "region IN (2, 3) AND deleted = 0")
	s.changes(600)
	s.start()
	s.allEqual()
	s.filters()
	if got := strings.Join(s.columns("people"), " "); strings.Contains(got, "name") || !strings.Contains(got, "city") {
		s.t.Errorf("under another configuration the lake shows the columns %s", got)
	}
	s.escapes()
	s.stop()
	s.search()
}

// escapes tries the ways on which a column could leave under another name.
func (s *scene) escapes() {
	s.exec("CREATE TABLE shop.people_copy LIKE shop.people", "INSERT INTO shop.people_copy SELECT * FROM shop.people")
	s.paused("people_copy", event.PauseColumns)
	s.exec("ALTER TABLE shop.people CHANGE email mail VARCHAR(100)", strings.Replace(person(700), "email", "mail", 1))
	s.paused("people", event.PauseColumns)
	s.exec("INSERT INTO shop.plain VALUES (2, 2)")
	s.equal("plain") // the others go on
	s.equal("log")
	s.stop()
	s.start() // the file still names the old column
	s.paused("people", event.PauseColumns)
	s.paused("people_copy", event.PauseColumns)
	s.stop()
	s.write("{exclude: [mail, notes, name], mask: [phone, born], hash: [card, token]}", "region IN (2, 3) AND deleted = 0")
	s.start()
	s.paused("people", event.PauseColumns)
	s.exec("DROP TABLE shop.people_copy")
	s.equal("plain")
	if _, err := s.daemon.Do(s.t.Context(), "shop", "shop.people", httpapi.Resume); err != nil {
		s.t.Fatal(err)
	}
	s.equal("people")
	s.exec("RENAME TABLE shop.people TO shop.folk", strings.NewReplacer("email", "mail", "people", "folk").Replace(person(701)))
	s.paused("folk", event.PauseColumns)
	s.equal("plain")
}

func (s *scene) allEqual() {
	s.t.Helper()
	for _, table := range []string{"people", "log", "plain", "orders", "moves"} {
		s.equal(table)
	}
}

const orders = `CREATE TABLE shop.orders (id INT PRIMARY KEY, region INT, deleted TINYINT NOT NULL DEFAULT 0, item VARCHAR(50))`

// orders are of the regions 0 to 4 and none; what is not of 1, 2 or 3 holds the secret, and so
// does what is deleted. The moves have no key.
func (s *scene) orders(from int) {
	s.t.Helper()
	if from == 0 {
		s.exec(orders, "CREATE TABLE shop.moves (kind ENUM('open', 'kept'), n INT, note VARCHAR(50), item VARCHAR(50))")
	}
	for i := from; i < from+30; i++ {
		region, item := strconv.Itoa(i%6), "thing"
		if i%6 == 5 {
			region = "NULL"
		}
		if i%6 == 0 || i%6 > 3 {
			item = "hunter2 ordered"
		}
		kind := map[bool]string{true: "'open', 1, 'hunter2', 'thing'", false: "'kept', 2, 'x', 'hunter2'"}[i%2 == 0]
		s.exec(fmt.Sprintf("INSERT INTO shop.orders (id, region, item) VALUES (%d, %s, '%s')", i, region, item),
			"INSERT INTO shop.moves VALUES ("+kind+")")
	}
	// Of each region one moves out, one is deleted, and one comes back.
	s.exec(fmt.Sprintf("UPDATE shop.orders SET region = 9, item = 'hunter2 went' WHERE id BETWEEN %d AND %d", from+6, from+11),
		fmt.Sprintf("UPDATE shop.orders SET deleted = 1, item = 'hunter2 is deleted' WHERE id BETWEEN %d AND %d", from+12, from+17),
		fmt.Sprintf("UPDATE shop.orders SET region = id %% 6, item = 'back' WHERE id BETWEEN %d AND %d AND id %% 6 IN (1, 2)", from+6, from+8),
		fmt.Sprintf("UPDATE shop.orders SET id = id + 1000, item = CONCAT(item, '!') WHERE id BETWEEN %d AND %d", from+18, from+23),
		fmt.Sprintf("DELETE FROM shop.orders WHERE id BETWEEN %d AND %d", from+24, from+25),
		"UPDATE shop.moves SET kind = IF(kind = 'open', 'kept', 'open'), item = IF(kind = 'open', 'thing', 'hunter2') WHERE n = 1 LIMIT 2",
		"DELETE FROM shop.moves LIMIT 3")
}

// shown is how many rows the lake shows of a table.
func (s *scene) shown(table string) (n int) {
	s.t.Helper()
	lake := target.New(s.lake, "shop")
	defer lake.Close()
	err := lake.Read(s.t.Context(), event.TableName{DB: "shop", Table: table}, func([]pipeline.ReadColumn) error { return nil },
		func([]pipeline.Cell) error { n++; return nil })
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// filters alters the table that a condition is on.
func (s *scene) filters() {
	s.exec("ALTER TABLE shop.orders MODIFY region BIGINT NULL FIRST, ADD COLUMN more INT DEFAULT 3")
	s.orders(5000)
	s.equal("orders")
	// Rows that no change is logged of come to leave.
	s.exec("UPDATE shop.orders SET item = 'was deleted' WHERE deleted = 1 AND region IN (2, 3)",
		"ALTER TABLE shop.orders DROP COLUMN deleted, ADD COLUMN deleted INT NOT NULL DEFAULT 0")
	s.equal("orders")
	s.exec("ALTER TABLE shop.orders DROP COLUMN deleted")
	s.paused("orders", event.PauseColumns)
	s.exec("INSERT INTO shop.orders (id, region, item) VALUES (9000, 8, 'hunter2')",
		"ALTER TABLE shop.orders ADD COLUMN deleted INT NOT NULL DEFAULT 0")
	if _, err := s.daemon.Do(s.t.Context(), "shop", "shop.orders", httpapi.Resume); err != nil {
		s.t.Fatal(err)
	}
	s.equal("orders")
	s.exec("CREATE TABLE shop.orders_copy LIKE shop.orders", "INSERT INTO shop.orders_copy SELECT * FROM shop.orders")
	s.paused("orders_copy", event.PauseColumns)
	s.exec("DROP TABLE shop.orders_copy")
	s.equal("plain")
}

func person(id int) string {
	return fmt.Sprintf("INSERT INTO shop.people (id, name, email, phone, card, token, born, city) VALUES (%d, 'name %d', 'hunter2-%d@example.com', '+49 hunter2 %d', %d, 'hunter2 %d', '1999-01-02', 'city')",
		id, id, id, id, card+id%3, id)
}

// changes are of every kind: rows that come, change in what leaves, change in what does not,
// and go.
func (s *scene) changes(from int) {
	s.t.Helper()
	s.orders(from)
	for i := from; i < from+5; i++ {
		s.exec(person(i))
	}
	s.exec(fmt.Sprintf("UPDATE shop.people SET email = 'hunter2-again' WHERE id = %d", from),
		fmt.Sprintf("UPDATE shop.people SET card = card + 1, token = 'hunter2 anew', phone = NULL WHERE id = %d", from+1),
		fmt.Sprintf("UPDATE shop.people SET id = id + 50, phone = 'hunter2' WHERE id = %d", from+2),
		fmt.Sprintf("DELETE FROM shop.people WHERE id = %d", from+3),
		"UPDATE shop.log SET what = CONCAT(what, ' hunter2') WHERE n = 1 LIMIT 5", "UPDATE shop.log SET who = 'hunter2-x' LIMIT 1", "DELETE FROM shop.log LIMIT 1")
}

// look searches what the daemon says of itself.
func (s *scene) look() {
	status, err := json.Marshal(s.daemon.Statuses())
	if err != nil {
		s.t.Fatal(err)
	}
	s.clean("the status", append(status, fmt.Sprintf("%+v", s.daemon.Statuses())...))
	reg := prometheus.NewRegistry()
	reg.MustRegister(s.daemon.Collector(), s.daemon.SelfChecks())
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	s.clean("the metrics", answer.Body.Bytes())
}

// search searches everything that was written.
func (s *scene) search() {
	s.clean("the log", s.log.bytes())
	found := 0
	disk := s.broker.Disk()
	err := walk(disk, "/store", func(path string, b []byte) {
		found += bytes.Count(b, []byte("shop.people"))
		s.clean("the broker's "+path, b)
	})
	if err != nil || found == 0 {
		s.t.Fatalf("the broker's disk was not searched: %d, %v", found, err)
	}
	rows := 0
	for _, dir := range []string{s.lake, filepath.Join(s.plan.Dir, "state")} {
		err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			s.clean(path, b)
			if strings.HasSuffix(path, ".parquet") {
				rows += s.decoded(path, b)
			}
			return nil
		})
		if err != nil {
			s.t.Fatal(err)
		}
	}
	if rows == 0 {
		s.t.Fatal("no row of the lake was searched")
	}
	if s.house != nil {
		s.searchHouse()
	}
}

// searchHouse searches every row of every table of the database, the sink's own among them, and
// their definitions. Parts on the disk are compressed: the server is asked.
func (s *scene) searchHouse() {
	s.t.Helper()
	conn, err := s.house.Open()
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	ask := func(query string, args ...any) (texts []string) {
		rows, err := conn.Query(s.t.Context(), query, args...)
		if err != nil {
			s.t.Fatalf("%s: %v", query, err)
		}
		defer rows.Close()
		for rows.Next() {
			var text string
			if err := rows.Scan(&text); err != nil {
				s.t.Fatal(err)
			}
			texts = append(texts, text)
		}
		if err := rows.Err(); err != nil {
			s.t.Fatalf("%s: %v", query, err)
		}
		return texts
	}
	rows := 0
	for _, definition := range ask("SELECT create_table_query FROM system.tables WHERE database = currentDatabase()") {
		s.clean("a definition", []byte(definition))
	}
	for _, table := range ask("SELECT name FROM system.tables WHERE database = currentDatabase() AND engine NOT IN ('View', 'Join')") {
		for _, row := range ask("SELECT toString(tuple(*)) FROM `" + table + "`") {
			s.clean("the table "+table, []byte(row))
			rows++
		}
	}
	if rows < 100 {
		s.t.Fatalf("%d rows of ClickHouse were searched", rows)
	}
}

// decoded searches the values of a file of the lake.
func (s *scene) decoded(path string, b []byte) (n int) {
	opened, err := parquet.OpenFile(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		s.t.Fatalf("%s: %v", path, err)
	}
	for _, group := range opened.RowGroups() {
		reader, batch := group.Rows(), make([]parquet.Row, 64)
		for {
			k, err := reader.ReadRows(batch)
			for _, row := range batch[:k] {
				for _, v := range row {
					s.clean(path+" decoded", []byte(v.String()))
				}
			}
			n += k
			if err != nil {
				break
			}
		}
		reader.Close()
	}
	return n
}

func walk(disk vfs.FS, dir string, file func(string, []byte)) error {
	names, err := disk.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		path := dir + "/" + name
		info, err := disk.Stat(path)
		if err != nil {
			return err
		}
		if info.IsDir() {
			if err := walk(disk, path, file); err != nil {
				return err
			}
			continue
		}
		f, err := disk.Open(path)
		if err != nil {
			return err
		}
		b := make([]byte, info.Size())
		_, err = f.ReadAt(b, 0)
		if err != nil && err != io.EOF {
			return err
		}
		f.Close()
		file(path, b)
	}
	return nil
}

// needles are the forms of what must not be anywhere.
var needles = func() map[string][]byte {
	all := map[string][]byte{
		"the secret": []byte(secret), "the secret in hex": []byte(hex.EncodeToString([]byte(secret))), "the secret in capital hex": []byte(strings.ToUpper(hex.EncodeToString([]byte(secret)))),
		"the salt": []byte(salt),
	}
	for shift := range 3 { // in base64 by where it begins; the letters at the ends are of its neighbours, too
		text := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + secret))
		all[fmt.Sprint("the secret in base64 ", shift)] = []byte(text[(8*shift+5)/6 : len(text)-1])
	}
	for n := int64(card); n < card+4; n++ {
		all[fmt.Sprint("a card ", n)] = []byte(strconv.FormatInt(n, 10))
		all[fmt.Sprint("a card in an image ", n)] = binary.AppendVarint(nil, n)
		all[fmt.Sprint("a card in eight bytes ", n)] = binary.LittleEndian.AppendUint64(nil, uint64(n))
	}
	return all
}()

func (s *scene) clean(where string, b []byte) {
	for what, needle := range needles {
		if at := bytes.Index(b, needle); at >= 0 {
			s.t.Errorf("%s holds %s: %q", where, what, b[max(0, at-60):min(len(b), at+60)])
		}
	}
}
