package store

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/message"
)

// twin is a store as a child would write it.
type twin struct {
	queues map[QueueID][]twinMessage
	keys   map[string][]string // topic#key → bodies
}

type twinMessage struct{ body, tag string }

// Random scripts of puts, batches, reads, queries, deletions, restarts, kills and power
// cuts give what the naive twin gives.
func TestStoreAgreesWithItsTwin(t *testing.T) {
	n := seed(t)
	for round := range uint64(15) {
		rng := rand.New(rand.NewPCG(n, round))
		cfg := testConfig("/store")
		if round%3 == 2 {
			cfg.FlushDiskType, cfg.FlushInterval = FlushAsync, time.Millisecond
		}
		if round%4 == 3 {
			cfg.PreWriteBytes = 0
		}
		fsys := vfs.NewMem()
		s := start(t, fsys, cfg)
		tw := &twin{queues: map[QueueID][]twinMessage{}, keys: map[string][]string{}}
		var script []string
		for step := range 60 {
			op := twinStep(rng, step, &s, &fsys, cfg, tw)
			script = append(script, op)
			if err := tw.check(rng, s); err != nil {
				t.Fatalf("seed %d, round %d: %v\nafter %s", n, round, err, strings.Join(script, ", "))
			}
		}
		s.mustStop()
	}
}

// twinStep does something to both. Crashes keep what is acknowledged, which is everything.
func twinStep(rng *rand.Rand, step int, s **running, fsys **vfs.Mem, cfg Config, tw *twin) string {
	q := QueueID{[]string{"a", "b", "%RETRY%c"}[rng.IntN(3)], int32(rng.IntN(3))}
	body := func(i int) string { return fmt.Sprintf("%d.%d%s", step, i, strings.Repeat("z", rng.IntN(400))) }
	switch k := rng.IntN(20); {
	case k < 11:
		tag, key := fmt.Sprint("t", rng.IntN(3)), fmt.Sprint("k", rng.IntN(5))
		b := body(0)
		(*s).mustPut(testRecord(q.Topic, q.ID, b, message.PropertyTags, tag, message.PropertyKeys, key))
		tw.queues[q] = append(tw.queues[q], twinMessage{b, tag})
		tw.keys[q.Topic+"#"+key] = append(tw.keys[q.Topic+"#"+key], b)
		return fmt.Sprint("put ", q)
	case k < 14:
		var recs []message.Record
		for i := range 1 + rng.IntN(4) {
			b := body(i)
			recs = append(recs, *testRecord(q.Topic, q.ID, b))
			tw.queues[q] = append(tw.queues[q], twinMessage{b, ""})
		}
		done := make(chan PutResult, 1)
		(*s).Put(&PutRequest{Batch: recs, Done: func(r PutResult) { done <- r }})
		if r := <-done; r.Err != nil {
			panic(r.Err)
		}
		return fmt.Sprint("batch ", q)
	case k == 14:
		if err := (*s).DeleteTopic(q.Topic); err != nil {
			panic(err)
		}
		for id := range tw.queues {
			if id.Topic == q.Topic {
				delete(tw.queues, id)
			}
		}
		return fmt.Sprint("delete ", q.Topic)
	case k == 15:
		if err := (*s).checkpoint(); err != nil {
			panic(err)
		}
		return "checkpoint"
	case k == 16:
		(*s).mustStop()
		*s = start((*s).t, *fsys, cfg)
		return "restart"
	case k == 17:
		mode := vfs.CrashOpts{Mode: vfs.CrashKeep, Seed: rng.Uint64()}
		if cfg.FlushDiskType == FlushSync {
			mode.Mode = vfs.CrashMode(rng.IntN(3))
		}
		next := (*fsys).CrashClone(mode)
		(*s).mustStop()
		*fsys = next
		*s = start((*s).t, next, cfg)
		return fmt.Sprint("crash ", mode.Mode)
	}
	return "nothing"
}

func (tw *twin) check(rng *rand.Rand, s *running) error {
	s.settle()
	if got := s.Queues(); len(got) != len(tw.queues) {
		return fmt.Errorf("queues are %v, want %d", got, len(tw.queues))
	}
	for q, want := range tw.queues {
		if lo, hi, _ := s.QueueRange(q.Topic, q.ID); lo != 0 || hi != int64(len(want)) {
			return fmt.Errorf("%v is %d to %d, want %d", q, lo, hi, len(want))
		}
		from, limit, tag := rng.IntN(len(want)), 1+rng.IntN(9), fmt.Sprint("t", rng.IntN(3))
		o := GetOptions{MaxMsgs: limit}
		if rng.IntN(2) == 0 {
			o.Filter = func(code int64) bool { return code == message.TagsCode(tag) }
		}
		var due []string
		for _, m := range want[from:] {
			if len(due) < limit && (o.Filter == nil || m.tag == tag) {
				due = append(due, m.body)
			}
		}
		res, err := s.Get(q.Topic, q.ID, int64(from), o)
		if err != nil {
			return err
		}
		var got []string
		for _, b := range res.Messages() {
			rec, _, _ := message.ParseRecord(b)
			got = append(got, string(rec.Body))
		}
		if !reflect.DeepEqual(got, due) {
			return fmt.Errorf("%v from %d, %d at most: got %q, want %q", q, from, limit, got, due)
		}
	}
	topic, key := "a", fmt.Sprint("k", rng.IntN(5))
	res, err := s.QueryByKey(topic, key, 1000, 0, 1<<62)
	if err != nil {
		return err
	}
	var got []string
	for _, b := range res.Messages {
		rec, _, _ := message.ParseRecord(b)
		got = append(got, string(rec.Body))
	}
	slices.Reverse(got) // newest first; messages of deleted topics stay in the log
	if want := tw.keys[topic+"#"+key]; !reflect.DeepEqual(got, want) {
		return fmt.Errorf("key %s finds %q, want %q", key, got, want)
	}
	return nil
}
