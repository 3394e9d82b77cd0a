package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/internal/testenv/chserver"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/httpapi"
)

// olapFile is the pipeline into ClickHouse; it is shown in the report.
const olapFile = pipelineHead + `sinks:
  - name: olap
    type: clickhouse
    address: ["%s"]
    flush: {rows: 200000, bytes: 64MiB, interval: 500ms}
`

// olapResult is what was found of a pipeline into ClickHouse.
type olapResult struct {
	Version   string       `json:"clickhouse"`
	Backlogs  []olapSample `json:"backlogs"`
	Rates     []rateSample `json:"rates"`
	CatchUp   *olapSample  `json:"catch_up,omitempty"`
	LiveRate  float64      `json:"catch_up_live_rows_per_second,omitempty"`
	Big       *olapSample  `json:"transaction,omitempty"`
	OtherLoad string       `json:"load_average"`
}

// olapSample is one binlog that was carried into ClickHouse.
type olapSample struct {
	Name         string  `json:"name"`
	Rows         int     `json:"rows"`
	Seconds      float64 `json:"seconds"` // from resume until a SELECT of each view agrees with the source
	PerSecond    float64 `json:"rows_per_second"`
	CPUMicros    float64 `json:"cpu_us_per_row"`
	ServerMicros float64 `json:"clickhouse_cpu_us_per_row"`
	PeakMiB      float64 `json:"rss_peak_mib"`
	Equal        bool    `json:"equal"` // pipeline verify compared source and target
	OtherCores   float64 `json:"other_cores"`
}

// olap is a private ClickHouse and the source beside it.
type olap struct {
	*testenv.ClickHouseServer
	conn driver.Conn
	b    *bench
	s    *source
}

// clickhouse measures everything that is asked of the sink.
func (b *bench) clickhouse(ctx context.Context) (*olapResult, error) {
	s, stop, err := b.startSource(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	dir, drop, err := b.scratch("clickhouse")
	if err != nil {
		return nil, err
	}
	defer drop()
	server, err := testenv.StartClickHouse(ctx, dir, chserver.Options{})
	if err != nil {
		return nil, err
	}
	defer server.Kill()
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{server.Addr}, ReadTimeout: 10 * time.Minute})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	b.say("ClickHouse %s answers on %s", server.Version, server.Addr)
	o := &olap{server, conn, b, s}
	r := &olapResult{Version: server.Version, OtherLoad: loadAverage()}
	if err := b.attempt(ctx, "streams into ClickHouse", func() error { return o.streams(ctx, r) }); err != nil {
		return r, err
	}
	if !b.wants("clickhouse", "ch-5m") {
		return r, nil
	}
	rows := 5_000_000
	if !b.large {
		rows = 500_000
	}
	return r, b.attempt(ctx, "a transaction of "+count(float64(rows))+" rows into ClickHouse", func() error {
		one, err := o.bigTransaction(ctx, rows)
		if err == nil {
			r.Big = &one
		}
		return err
	})
}

// streams measures what one daemon carries.
func (o *olap) streams(ctx context.Context, r *olapResult) error {
	n := o.b.sizes()
	var loads []load
	names := []string{"shop.stop"}
	for round := range o.b.backlogs {
		for i, l := range []load{o.s.manyRows(round, n.many), o.s.singleRows(round, n.single), o.s.mixedRows(round, n.mixed)} {
			if o.b.wants("clickhouse", []string{"ch-bulk", "ch-single", "ch-mixed"}[i]) {
				loads, names = append(loads, l), append(names, l.tables...)
			}
		}
	}
	for _, rate := range rates {
		names = append(names, rateTable(rate))
	}
	for _, t := range names {
		if err := o.s.createOrders(ctx, t); err != nil {
			return err
		}
	}
	d, err := o.b.startDaemonWith(ctx, fmt.Sprintf(olapFile, o.s.server.Addr, "shop.*", o.Addr))
	if err != nil {
		return err
	}
	defer d.stop()
	if err := d.streaming(ctx, len(names)); err != nil {
		return err
	}
	for _, l := range loads {
		err := o.b.attempt(ctx, l.name+" into ClickHouse", func() error {
			one, err := o.backlog(ctx, d, l)
			if err == nil {
				r.Backlogs = append(r.Backlogs, one)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	if o.b.wants("clickhouse", "ch-freshness") {
		if err := o.b.attempt(ctx, "freshness of ClickHouse", func() error { return o.highestRate(ctx, r) }); err != nil {
			return err
		}
	}
	if !o.b.wants("clickhouse", "ch-catchup") {
		return nil
	}
	return o.b.attempt(ctx, "catching up in ClickHouse", func() error { return o.catchUp(ctx, d, r) })
}

// backlog fills tables while the pipeline is paused and measures from its resumption.
func (o *olap) backlog(ctx context.Context, d *daemon, l load) (olapSample, error) {
	if l.before != nil {
		if err := l.before(ctx); err != nil {
			return olapSample{}, err
		}
		if err := o.awaitAgreement(ctx, d, l.tables); err != nil {
			return olapSample{}, err
		}
	}
	if err := d.do(ctx, httpapi.Pause, pipeline.StatePaused); err != nil {
		return olapSample{}, err
	}
	if err := l.fill(ctx); err != nil {
		return olapSample{}, err
	}
	return o.carried(ctx, d, l, func() error { return d.do(ctx, httpapi.Resume, "") })
}

// carried measures from begin until every view agrees with its source, and compares.
func (o *olap) carried(ctx context.Context, d *daemon, l load, begin func() error) (olapSample, error) {
	sample := olapSample{Name: l.name, Rows: l.rows}
	pid := d.process.Pid()
	rest := startOthers(func() float64 {
		return ownSeconds() + processSeconds(pid) + processSeconds(o.s.pid()) + processSeconds(o.Pid())
	})
	stop := o.b.profiled(ctx, "ch-"+l.name)
	defer stop()
	cpu, server, began := processSeconds(pid), processSeconds(o.Pid()), time.Now()
	if err := begin(); err != nil {
		return sample, err
	}
	if err := o.awaitAgreement(ctx, d, l.tables); err != nil {
		return sample, fmt.Errorf("%w\n%s", err, d.process.Log())
	}
	sample.Seconds = time.Since(began).Seconds()
	sample.PerSecond = float64(l.rows) / sample.Seconds
	sample.CPUMicros = (processSeconds(pid) - cpu) * 1e6 / float64(l.rows)
	sample.ServerMicros = (processSeconds(o.Pid()) - server) * 1e6 / float64(l.rows)
	sample.OtherCores = rest.cores()
	stop()
	var err error
	if _, _, sample.PeakMiB, err = memoryOf(pid); err != nil {
		return sample, err
	}
	sample.Equal, err = o.b.verify(ctx, d, l.tables)
	o.b.say("ClickHouse: %-28s %9d rows: %8.0f rows/s (%.1f s), equal %t; %.2f µs a row of millrace, %.2f of ClickHouse; peak %.0f "+
		"MiB  (others: %.2f cores)",
		l.name, l.rows, sample.PerSecond, sample.Seconds, sample.Equal, sample.CPUMicros, sample.ServerMicros, sample.PeakMiB, sample.OtherCores)
	return sample, err
}

// sums are what a SELECT of an orders table must agree on; MariaDB and ClickHouse both
// understand it.
const sums = "SELECT CONCAT(COUNT(*), ' ', COALESCE(SUM(id), 0), ' ', COALESCE(SUM(total), 0) * 100 + 0, ' ', COALESCE(SUM(CASE WHEN " +
	"status = 'paid' THEN 1 ELSE 0 END), 0)) FROM "

// awaitAgreement waits until the views say what the source's tables do. They are asked once
// the pipeline says that nothing is on its way, so that asking costs little.
func (o *olap) awaitAgreement(ctx context.Context, d *daemon, tables []string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	want := make([]string, len(tables))
	for i, t := range tables {
		if err := o.s.db.QueryRowContext(ctx, sums+t).Scan(&want[i]); err != nil {
			return err
		}
	}
	end, err := o.s.position(ctx)
	if err != nil {
		return err
	}
	for {
		agree, last := false, ""
		if now, err := d.client.Pipeline(ctx, "bench"); err == nil && nothingUnderway(now, end.Name, uint64(end.Pos)) {
			if agree, last, err = o.agree(ctx, tables, want); err != nil {
				last = err.Error() // the view may not be there yet
			}
		}
		if agree {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-d.process.Done():
			return fmt.Errorf("millrace ended by itself")
		case <-ctx.Done():
			return fmt.Errorf("wait for ClickHouse: %w; %s", ctx.Err(), last)
		}
	}
}

// nothingUnderway reports whether the pipeline says that all up to a position is in its target.
func nothingUnderway(now pipeline.Status, file string, pos uint64) bool {
	if now.Position.File < file || now.Position.File == file && now.Position.Pos < pos {
		return false
	}
	for _, t := range now.Tables {
		for _, one := range t.Sinks {
			if one.Behind > 0 || one.Buffered > 0 {
				return false
			}
		}
	}
	return true
}

func (o *olap) agree(ctx context.Context, tables, want []string) (bool, string, error) {
	for i, t := range tables {
		var got string
		if err := o.conn.QueryRow(ctx, sums+t).Scan(&got); err != nil {
			return false, "", err
		}
		if plain(got) != plain(want[i]) {
			return false, fmt.Sprintf("%s: %s in the source, %s in the target", t, want[i], got), nil
		}
	}
	return true, "", nil
}

// plain takes away zeros behind a point, which only one of the two writes.
func plain(s string) string {
	words := strings.Fields(s)
	for i, w := range words {
		if strings.Contains(w, ".") {
			words[i] = strings.TrimRight(strings.TrimRight(w, "0"), ".")
		}
	}
	return strings.Join(words, " ")
}

// highestRate looks for the highest rate at which the views are fresh.
func (o *olap) highestRate(ctx context.Context, r *olapResult) error {
	length := 10 * time.Second
	if o.b.quick {
		length = 4 * time.Second
	}
	for _, rate := range rates {
		one := rateSample{Wanted: rate}
		var err error
		if one.Changes, err = o.freshness(ctx, rateTable(rate), rate, length); err != nil {
			return fmt.Errorf("freshness: %w", err)
		}
		one.judge()
		if r.Rates = append(r.Rates, one); !one.Held {
			return nil
		}
	}
	return nil
}

// freshness writes at a fixed rate and measures how old every row is when a SELECT shows it.
func (o *olap) freshness(ctx context.Context, table string, perSecond int, length time.Duration) (freshnessSample, error) {
	ctx, cancel := context.WithTimeout(ctx, length+3*time.Minute)
	defer cancel()
	var (
		wg      sync.WaitGroup
		ages    []time.Duration
		readErr error
		written = make(chan struct{}) // closed once total is known
		total   int64
	)
	load := loadAverage()
	wg.Go(func() { ages, readErr = o.ages(ctx, table, written, &total) })
	began := time.Now()
	total, err := o.s.insertPaced(ctx, table, perSecond, length)
	rate := float64(total) / time.Since(began).Seconds()
	if err != nil {
		cancel()
	}
	close(written)
	wg.Wait()
	if err != nil {
		return freshnessSample{}, err
	}
	if readErr != nil {
		return freshnessSample{}, readErr
	}
	if len(ages) == 0 {
		return freshnessSample{}, fmt.Errorf("no row was written to %s", table)
	}
	slices.Sort(ages)
	at := func(q float64) float64 { return ages[int(q*float64(len(ages)-1))].Seconds() }
	f := freshnessSample{Rows: len(ages), P50: at(0.5), P99: at(0.99), Max: at(1), Written: total, PerSecond: rate, Load: load}
	o.b.say("ClickHouse: freshness at %.0f rows/s: p50 %.2f s, p99 %.2f s, max %.2f s over %d rows", rate, f.P50, f.P99, f.Max, f.Rows)
	return f, nil
}

// ages reads the rows of a view that were not there before, until all are.
func (o *olap) ages(ctx context.Context, table string, written chan struct{}, total *int64) (ages []time.Duration, err error) {
	low, ahead := int64(1), map[int64]bool{} // all below low were seen
	for {
		last := o.read(ctx, table, low, func(id int64, placed time.Time) {
			if !ahead[id] {
				ahead[id] = true
				ages = append(ages, time.Since(placed))
			}
		})
		for ; ahead[low]; low++ {
			delete(ahead, low)
		}
		select {
		case <-written:
			if int64(len(ages)) >= *total {
				return ages, nil
			}
		default:
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ages, errors.Join(fmt.Errorf("%d rows were seen in %s: %w", len(ages), table, ctx.Err()), last)
		}
	}
}

// read calls row with each row from a number on. A query that fails is the caller's to repeat.
func (o *olap) read(ctx context.Context, table string, low int64, row func(id int64, placed time.Time)) error {
	rows, err := o.conn.Query(ctx, fmt.Sprintf("SELECT id, placed_at FROM %s WHERE id >= %d", table, low))
	if err != nil {
		return err
	}
	for rows.Next() {
		var id int64
		var placed time.Time
		if err := rows.Scan(&id, &placed); err != nil {
			return errors.Join(err, rows.Close())
		}
		row(id, placed)
	}
	return rows.Close()
}

// catchUp has a live load go on while the pipeline stands, and measures how fast it comes back.
func (o *olap) catchUp(ctx context.Context, d *daemon, r *olapResult) error {
	stop := 2 * time.Minute
	if o.b.quick {
		stop = 10 * time.Second
	}
	if err := d.do(ctx, httpapi.Pause, pipeline.StatePaused); err != nil {
		return err
	}
	began := time.Now()
	total, err := o.s.insertPaced(ctx, "shop.stop", freshRate, stop)
	if err != nil {
		return err
	}
	r.LiveRate = float64(total) / time.Since(began).Seconds()
	l := load{name: "after a stop of " + stop.String(), tables: []string{"shop.stop"}, rows: int(total)}
	one, err := o.carried(ctx, d, l, func() error { return d.do(ctx, httpapi.Resume, "") })
	if err == nil {
		r.CatchUp = &one
	}
	return err
}

// bigTransaction sends one transaction through a fresh process.
func (o *olap) bigTransaction(ctx context.Context, rows int) (olapSample, error) {
	const table = "large.big"
	if err := o.s.createOrders(ctx, table); err != nil {
		return olapSample{}, err
	}
	d, err := o.b.startDaemonWith(ctx, fmt.Sprintf(olapFile, o.s.server.Addr, table, o.Addr))
	if err != nil {
		return olapSample{}, err
	}
	defer d.stop()
	if err := d.streaming(ctx, 1); err != nil {
		return olapSample{}, err
	}
	l := load{name: "a transaction", tables: []string{table}, rows: rows}
	return o.carried(ctx, d, l, func() error { return o.s.insertMany(ctx, table, rows, rows) })
}
