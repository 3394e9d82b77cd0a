package clickhouse

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/sinks/clickhouse/ddl"
)

// Generations of one cluster rise: its control queue knows all that it gave out, and whoever has
// the highest is right. Those of two clusters, which have the same names of pipeline, sink and
// target, say nothing of each other: each could pass the other's for ever, and the table would
// go back and forth between two streams. So a claim has its control queue's origin, and is
// refused while the cluster lives whose origin the highest generation has:
//
//  1. each cluster shows every half minute that it is at work (beat), for all its tables at once;
//  2. a claim of another origin looks at the last sign of the cluster that has the table: its
//     claim, or a beat;
//  3. the cluster is silent when its last sign is old by the server's clock, or has not changed
//     for as long by ours: either of the two may have jumped.
//
// A cluster that was replaced by a new one (its control queue is lost) is silent soon.

// rivalSilence is how long a cluster has shown nothing that is taken to be at work no more: five
// times what lies between two beats.
const rivalSilence = 150 * time.Second

// claimRecord is what the ledger's row of a claim says, as JSON.
type claimRecord struct {
	Origin string `json:"origin,omitempty"` // "" in those of an earlier version
}

func (c claimRecord) text() string {
	b, err := json.Marshal(c)
	if err != nil {
		panic("BUG: a claim that JSON can't hold: " + err.Error())
	}
	return string(b)
}

// sighting is a rival's last sign, and since when it was seen as it is, by our clock.
type sighting struct {
	sign  string
	since time.Time
}

// yield refuses a claim while another cluster is at work that has the target's highest
// generation. Nothing has changed by then.
func (t *Table) yield(ctx context.Context, highest uint64) error {
	if t.claim.Origin == "" {
		return nil
	}
	owner, claimed, now, err := t.claimOf(ctx, highest)
	if err != nil {
		return err
	}
	if owner.Origin == "" || owner.Origin == t.claim.Origin {
		t.sink.overlook(t.target.Plain())
		return nil
	}
	beat, host, err := t.sink.lastBeat(ctx, t.claim.Pipeline, owner.Origin)
	if err != nil {
		return err
	}
	newest := claimed
	if beat.After(newest) {
		newest = beat
	}
	ago := now.Sub(newest)
	sign := fmt.Sprint(highest, claimed.UnixMicro(), beat.UnixMicro())
	unchanged := t.sink.unchanged(t.target.Plain(), sign)
	if ago >= rivalSilence || unchanged >= rivalSilence {
		return nil // it is overlooked when it is passed: the generation may be too low, and then another one is tried
	}
	if host != "" {
		host = " on host " + host
	}
	return fmt.Errorf("%w: %s is written by another cluster%s, which has the same names of pipeline (%s), sink (%s) and target, "+
		"and was at work %s ago. One alone can write it: stop one of the two, or give this one another target with database and table "+
		"of the sink; it goes on by itself when the other has been silent for %s",
		pipeline.ErrUnwritable, t.target.Plain(), host, t.claim.Pipeline, t.claim.Sink, max(0, ago).Round(time.Second), rivalSilence)
}

// claimOf is what the ledger says of a claim and when it was written, and the time now, by the
// server's clock. One that is not there has no origin.
func (t *Table) claimOf(ctx context.Context, generation uint64) (c claimRecord, at, now time.Time, err error) {
	var state string
	var was, is int64
	query := "SELECT argMax(state, ver), toUnixTimestamp64Micro(max(at)), toUnixTimestamp64Micro(now64(6)) FROM " +
		t.sink.control(ddl.LedgerTable) + " WHERE target = ? AND slot = ? AND _gen = ?"
	err = t.sink.conn.Query(ctx, t.comment(), query, func(scan func(...any) error) error { return scan(&state, &was, &is) },
		t.target.Plain(), uint16(slotClaim), generation)
	if err != nil || state == "" {
		return c, at, now, err
	}
	if err := json.Unmarshal([]byte(state), &c); err != nil {
		return c, at, now, fmt.Errorf("the ledger: %w", err)
	}
	return c, time.UnixMicro(was), time.UnixMicro(is), nil
}

// lastBeat is when a cluster showed last that it is at work on a pipeline, by the server's
// clock, and on which host.
func (s *Sink) lastBeat(ctx context.Context, pipelineName, origin string) (at time.Time, host string, err error) {
	query := "SELECT toUnixTimestamp64Micro(at), host FROM " + s.control(ddl.BeatTable) + " FINAL WHERE pipeline = ? AND origin = ?"
	err = s.conn.Query(ctx, comment("claim"), query,
		func(scan func(...any) error) error {
			var micros int64
			var on string
			err := scan(&micros, &on)
			if one := time.UnixMicro(micros); err == nil && one.After(at) {
				at, host = one, on
			}
			return err
		}, pipelineName, origin)
	return at, host, err
}

// beat shows that this cluster is at work, once it has claimed a table.
func (s *Sink) beat(ctx context.Context, pipelineName string) error {
	s.mu.Lock()
	origin := s.origin
	s.mu.Unlock()
	if origin == "" {
		return nil
	}
	host, err := os.Hostname()
	if err != nil {
		host = "" // it is there for people alone
	}
	statement := "INSERT INTO " + s.control(ddl.BeatTable) + " (pipeline, origin, place, host) SELECT ?, ?, ?, ?"
	err = s.conn.Exec(ctx, comment("status"), statement, pipelineName, origin, s.place(), host)
	if err != nil {
		return fmt.Errorf("write %s: %w", s.control(ddl.BeatTable), err)
	}
	return nil
}

// overlook forgets a target's rival.
func (s *Sink) overlook(target string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.seen, target)
}

// rivaled says that another cluster has a target, which says how it is.
func (s *Sink) rivaled(target string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.seen[target]
	return ok
}

// unchanged is for how long a target's sign was seen as it is.
func (s *Sink) unchanged(target, sign string) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if was, ok := s.seen[target]; ok && was.sign == sign && !now.Before(was.since) {
		return now.Sub(was.since)
	}
	s.seen[target] = sighting{sign, now}
	return 0
}
