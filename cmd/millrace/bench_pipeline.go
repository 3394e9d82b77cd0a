package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/internal/pause"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/httpapi"
	"github.com/millrace/millrace/pipeline/spec"
)

func newBenchPipeline() *cobra.Command {
	c := &cobra.Command{
		Use: "pipeline FILE", Short: "Measure a running pipeline",
		Long: `Watches the daemon that runs a pipeline and prints, for every table and target, the rows
that became visible per second, how old they were, and what the process took meanwhile. It
makes no load of its own: the source's writers do, or a backlog.`,
		Example: "  millrace bench pipeline pipelines/orders.yaml --seconds 30s\n  millrace bench pipeline pipelines/orders.yaml " +
			"--daemon 127.0.0.1:8083 --json",
		Args: exactArgs("FILE"),
	}
	daemon := c.Flags().String("daemon", defaultDaemon, "address of the daemon")
	c.RunE = func(c *cobra.Command, args []string) error {
		p, err := spec.ReadFile(args[0], kinds(), lookupEnv)
		if err != nil {
			return err
		}
		duration, _ := c.Flags().GetDuration("seconds")
		w := watch{name: p.Name, address: *daemon, client: httpapi.NewClient(*daemon)}
		r, err := w.run(c.Context(), duration)
		if err != nil {
			return environmentError{err}
		}
		return r.print(c)
	}
	return c
}

// pipelineResult is what was seen of a pipeline during a time.
type pipelineResult struct {
	Pipeline  string         `json:"pipeline"`
	State     pipeline.State `json:"state"`
	Seconds   float64        `json:"seconds"`
	Tables    []tableRates   `json:"tables"`
	LagSecs   float64        `json:"lag_seconds"` // of the source, at the end
	Errors    int64          `json:"errors"`
	CPU       float64        `json:"cpu_seconds"`
	RSSMiB    float64        `json:"rss_mib"`
	GCSeconds float64        `json:"gc_pause_seconds"`
	NetMiB    float64        `json:"network_mib"`
}

// tableRates is a table in one target.
type tableRates struct {
	Table     string  `json:"table"`
	Sink      string  `json:"sink"`
	Rows      uint64  `json:"rows"` // visible at the target
	PerSecond float64 `json:"rows_per_second"`
	LagMax    float64 `json:"lag_max_seconds"`
	Buffered  int     `json:"buffered_rows"`
	Behind    int64   `json:"behind_messages"`
}

// watch asks a daemon for its status.
type watch struct {
	name, address string
	client        *httpapi.Client
}

type tableSink struct{ table, sink string }

const watchInterval = 500 * time.Millisecond

func (w watch) run(ctx context.Context, d time.Duration) (*pipelineResult, error) {
	before, err := w.client.Pipeline(ctx, w.name)
	if err != nil {
		return nil, err
	}
	was, err := scrape(ctx, w.address)
	if err != nil {
		return nil, err
	}
	first, lag := map[tableSink]uint64{}, map[tableSink]float64{}
	eachSink(before, func(k tableSink, s pipeline.SinkSummary) { first[k] = s.Rows })
	started := time.Now()
	now := before
	for left := d; left > 0; left = d - time.Since(started) {
		if err := pause.For(ctx, min(left, watchInterval)); err != nil {
			return nil, err
		}
		if now, err = w.client.Pipeline(ctx, w.name); err != nil {
			return nil, err
		}
		eachSink(now, func(k tableSink, s pipeline.SinkSummary) {
			v, _ := s.Lag.Target.Value()
			lag[k] = max(lag[k], v)
		})
	}
	elapsed := time.Since(started).Seconds()
	is, err := scrape(ctx, w.address)
	if err != nil {
		return nil, err
	}
	sourceLag, _ := now.Lag.Source.Value()
	r := &pipelineResult{
		Pipeline: now.Name, State: now.State, Seconds: elapsed, LagSecs: sourceLag, Errors: now.Errors - before.Errors,
		CPU: is["process_cpu_seconds_total"] - was["process_cpu_seconds_total"], RSSMiB: is["process_resident_memory_bytes"] / (1 << 20),
		GCSeconds: is["go_gc_duration_seconds_sum"] - was["go_gc_duration_seconds_sum"],
		NetMiB: (is["process_network_receive_bytes_total"] + is["process_network_transmit_bytes_total"] -
			was["process_network_receive_bytes_total"] - was["process_network_transmit_bytes_total"]) / (1 << 20),
	}
	eachSink(now, func(k tableSink, s pipeline.SinkSummary) {
		rows := s.Rows - first[k]
		if s.Rows < first[k] { // the pipeline was started anew
			rows = s.Rows
		}
		r.Tables = append(r.Tables, tableRates{Table: k.table, Sink: k.sink, Rows: rows, PerSecond: float64(rows) / elapsed,
			LagMax: lag[k], Buffered: s.Buffered, Behind: s.Behind})
	})
	return r, nil
}

func eachSink(s pipeline.Status, f func(tableSink, pipeline.SinkSummary)) {
	for _, t := range s.Tables {
		for _, sink := range t.Sinks {
			f(tableSink{t.Name, sink.Sink}, sink)
		}
	}
}

func (r *pipelineResult) print(c *cobra.Command) error {
	if wantsJSON(c) {
		return printJSON(c.OutOrStdout(), r)
	}
	w := tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "TABLE\tSINK\tROWS\tROWS/S\tLAG MAX\tBUFFERED\tBEHIND")
	var rows uint64
	for _, t := range r.Tables {
		fmt.Fprintf(w, "%s\t%s\t%d\t%.0f\t%.2f s\t%d\t%d\n", t.Table, t.Sink, t.Rows, t.PerSecond, t.LagMax, t.Buffered, t.Behind)
		rows += t.Rows
	}
	if err := w.Flush(); err != nil {
		return err
	}
	out := c.OutOrStdout()
	fmt.Fprintf(out, "%s (%s): %d rows at the targets in %.1f s = %.0f/s; lag of the source %.2f s, %d errors\n",
		r.Pipeline, r.State, rows, r.Seconds, float64(rows)/r.Seconds, r.LagSecs, r.Errors)
	fmt.Fprintf(out, "daemon: CPU %.2f s, memory %.0f MiB, GC pauses %.3f s, network %.0f MiB\n", r.CPU, r.RSSMiB, r.GCSeconds, r.NetMiB)
	if rows > 0 {
		fmt.Fprintf(out, "daemon CPU per row: %.2f µs\n", r.CPU*1e6/float64(rows))
	}
	return nil
}

// figures are the sums of a daemon's metrics over their labels, by name.
type figures map[string]float64

// scrape reads a daemon's metrics.
func scrape(ctx context.Context, address string) (figures, error) {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(address, "/")+"/metrics", nil)
	if err != nil {
		return nil, fmt.Errorf("read metrics of %s: %w", address, err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("read metrics of %s: %w", address, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read metrics of %s: %s", address, answer.Status)
	}
	f, err := parseFigures(answer.Body)
	if err != nil {
		return nil, fmt.Errorf("read metrics of %s: %w", address, err)
	}
	return f, nil
}

// parseFigures reads Prometheus's text: name{label="value",…} number [timestamp].
func parseFigures(r io.Reader) (figures, error) {
	f := figures{}
	lines := bufio.NewScanner(io.LimitReader(r, 64<<20))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		end := strings.IndexAny(line, "{ ")
		if end < 0 {
			return nil, fmt.Errorf("a metric without a value: %q", line)
		}
		rest := line[end:]
		if rest[0] == '{' {
			rest = rest[strings.LastIndexByte(rest, '}')+1:]
		}
		words := strings.Fields(rest)
		if len(words) == 0 {
			return nil, fmt.Errorf("a metric without a value: %q", line)
		}
		v, err := strconv.ParseFloat(words[0], 64)
		if err != nil {
			return nil, fmt.Errorf("metric %s: %w", line[:end], err)
		}
		f[line[:end]] += v
	}
	return f, lines.Err()
}
