package pipelinetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/verify"
)

// SinkUnderTest is one fresh target.
type SinkUnderTest struct {
	// Open opens the target anew, as another process would. It is called many times.
	Open func() (pipeline.Sink, error)
	// Read reads what users of the target see. It may lag behind Flush: the suite does
	// Maintain and asks again.
	Read func() (pipeline.Reader, error)
}

// Sink holds a sink against the contract: what Flush, the claim of a generation, marks,
// BEGIN and END, TRUNCATE, definitions and tables without a key mean. fresh makes a new
// target for each test.
func Sink(t *testing.T, fresh func(testing.TB) SinkUnderTest) {
	for _, c := range []struct {
		name string
		run  func(*sinkTest)
	}{
		{"Preflight", (*sinkTest).preflight},
		{"NothingIsVisibleBeforeFlush", (*sinkTest).unflushed},
		{"MarksAreReadBack", (*sinkTest).marks},
		{"QueueNumbersAreForEver", (*sinkTest).queueNumbers},
		{"TheSameBatchTwice", (*sinkTest).twice},
		{"AHigherGenerationIsAlone", (*sinkTest).superseded},
		{"ALowerGenerationIsRefused", (*sinkTest).lower},
		{"AMessageBehindAHoleIsRefused", (*sinkTest).hole},
		{"ABeginIsAdopted", (*sinkTest).adopted},
		{"AnEmptyFlush", (*sinkTest).empty},
		{"EverythingInAnyOrder", (*sinkTest).everything},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &sinkTest{T: t, fresh: func() SinkUnderTest { return fresh(t) }, sut: fresh(t), script: Everything(7)}
			var err error
			if s.packed, err = Pack(t.Context(), s.script); err != nil {
				t.Fatal(err)
			}
			c.run(s)
		})
	}
}

type sinkTest struct {
	*testing.T
	fresh      func() SinkUnderTest
	sut        SinkUnderTest
	script     *Script
	packed     *Packed
	generation uint64
}

func (s *sinkTest) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *sinkTest) table(i int) event.TableName { return s.script.Names()[i] }

func (s *sinkTest) queues(t event.TableName) (out []pipeline.QueueID) {
	for _, q := range s.packed.Order {
		if q.Topic == event.TopicName("p", t) {
			out = append(out, q)
		}
	}
	return out
}

func (s *sinkTest) claim(t event.TableName, generation uint64) (pipeline.SinkTable, error) {
	s.Helper()
	sink, err := s.sut.Open()
	s.must(err)
	s.Cleanup(func() { _ = sink.Close() })
	table, err := sink.OpenTable(s.Context(), pipeline.Claim{
		Pipeline: "p", Sink: "sink", Table: t, Generation: generation, Keyless: s.script.content(t).keyless, Schemas: s.packed,
	})
	if err == nil {
		s.Cleanup(func() { _ = table.Close() })
	}
	return table, err
}

// open claims a table under the next generation.
func (s *sinkTest) open(t event.TableName) *owned {
	s.Helper()
	s.generation++
	table, err := s.claim(t, s.generation)
	s.must(err)
	return s.own(t, table)
}

// owned delivers to a claimed table from its marks on.
type owned struct {
	pipeline.SinkTable
	s  *sinkTest
	at map[pipeline.QueueID]int
}

func (s *sinkTest) own(t event.TableName, table pipeline.SinkTable) *owned {
	o := &owned{SinkTable: table, s: s, at: map[pipeline.QueueID]int{}}
	for _, m := range table.Marks() {
		all := s.packed.Queues[m.Queue]
		for o.at[m.Queue] < len(all) && all[o.at[m.Queue]].Hi <= m.Seq {
			o.at[m.Queue]++
		}
	}
	return o
}

// write delivers n messages of a queue; false when there are no more.
func (o *owned) write(q pipeline.QueueID, n int) bool {
	o.s.Helper()
	for ; n > 0 && o.at[q] < len(o.s.packed.Queues[q]); n-- {
		o.s.must(o.Write(o.s.Context(), q, o.s.packed.Queues[q][o.at[q]]))
		o.at[q]++
	}
	return o.at[q] < len(o.s.packed.Queues[q])
}

func (o *owned) flush() {
	o.s.Helper()
	_, err := o.Flush(o.s.Context())
	o.s.must(err)
}

// all delivers everything.
func (o *owned) all(t event.TableName) {
	o.s.Helper()
	for _, q := range o.s.queues(t) {
		o.write(q, 1<<30)
	}
	o.flush()
}

// shows waits until a reader sees the script's rows, doing the table's background work.
func (s *sinkTest) shows(o *owned, t event.TableName) {
	s.Helper()
	var last string
	done := s.await(o, func() bool {
		r, err := s.sut.Read()
		s.must(err)
		defer r.Close()
		got, err := verify.Compare(s.Context(), s.script.Reader(), r, t)
		last = fmt.Sprintf("%+v, %v", got, err)
		return err == nil && got.Equal()
	})
	if !done {
		s.Fatalf("a reader sees %s", last)
	}
}

func (s *sinkTest) await(o *owned, ok func() bool) bool {
	s.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		s.must(o.Maintain(s.Context()))
		select {
		case <-deadline.C:
			return false
		case <-tick.C:
		}
	}
	return true
}

func (s *sinkTest) preflight() {
	sink, err := s.sut.Open()
	s.must(err)
	problems, err := sink.Preflight(s.Context())
	if err != nil || len(problems) > 0 {
		s.Errorf("a good target: %+v, %v", problems, err)
	}
	s.must(sink.Close())
}

func (s *sinkTest) unflushed() {
	t := s.table(0)
	o := s.open(t)
	for _, q := range s.queues(t) {
		o.write(q, 3)
	}
	if rows, _ := o.Buffered(); rows == 0 {
		s.Error("nothing is buffered")
	}
	s.must(o.Close())
	o = s.open(t)
	if rows, _ := o.Buffered(); rows != 0 {
		s.Errorf("%d rows are buffered after the claim", rows)
	}
	for _, m := range o.Marks() {
		if m.Known && m.Seq != 0 {
			s.Errorf("mark %+v of what was not flushed", m)
		}
	}
	o.all(t)
	s.shows(o, t)
}

func (s *sinkTest) marks() {
	t := s.table(0)
	o := s.open(t)
	q := s.queues(t)
	o.write(q[0], 4)
	o.write(q[1], 2)
	o.flush()
	if rows, _ := o.Buffered(); rows != 0 {
		s.Errorf("%d rows are buffered after Flush", rows)
	}
	for what, marks := range map[string][]pipeline.QueueMark{"after Flush": o.Marks(), "read back": s.open(t).Marks()} {
		if len(marks) != 2 {
			s.Fatalf("%s: marks %+v", what, marks)
		}
		for i, n := range []int{4, 2} {
			m := marks[slices.IndexFunc(marks, func(m pipeline.QueueMark) bool { return m.Queue == q[i] })]
			if want := s.packed.Queues[q[i]][n-1]; m.Seq != want.Hi || m.ID != want.To || !m.Known {
				s.Errorf("%s: mark %+v, want %d %s", what, m, want.Hi, want.To)
			}
		}
	}
}

func (s *sinkTest) queueNumbers() {
	t := s.table(1)
	numbers := map[pipeline.QueueID]int{}
	queues := s.queues(t)
	slices.Reverse(queues)
	for _, q := range queues {
		o := s.open(t)
		o.write(q, 1)
		o.flush()
		seen := map[int]bool{}
		for _, m := range o.Marks() {
			if was, ok := numbers[m.Queue]; ok && was != m.Q || seen[m.Q] {
				s.Errorf("queue %v has number %d, had %d", m.Queue, m.Q, was)
			}
			numbers[m.Queue], seen[m.Q] = m.Q, true
		}
		s.must(o.Close())
	}
}

func (s *sinkTest) twice() {
	t := s.table(2) // without a key: a row too many would show
	o := s.open(t)
	o.all(t)
	before := o.Marks()
	s.must(o.Close())
	o = s.open(t)
	if len(o.Marks()) != len(before) {
		s.Fatalf("marks %+v, were %+v", o.Marks(), before)
	}
	o.all(t) // from the marks on: nothing
	s.shows(o, t)
}

func (s *sinkTest) superseded() {
	t := s.table(0)
	old := s.open(t)
	q := s.queues(t)
	old.write(q[0], 3)
	young := s.open(t)
	if _, err := old.Flush(s.Context()); !errors.Is(err, pipeline.ErrSuperseded) {
		s.Errorf("the old owner's flush: %v", err)
	}
	_ = old.Close()
	for _, m := range young.Marks() {
		if m.Seq != 0 {
			s.Errorf("mark %+v: the old owner has written", m)
		}
	}
	young.all(t)
	s.shows(young, t)
}

func (s *sinkTest) lower() {
	t := s.table(0)
	s.generation = 9
	o := s.open(t)
	if _, err := s.claim(t, 5); !errors.Is(err, pipeline.ErrSuperseded) {
		s.Errorf("generation 5 after 10: %v", err)
	}
	o.all(t) // the refused claim has done nothing to the owner
	s.shows(o, t)
}

func (s *sinkTest) hole() {
	t := s.table(0)
	o := s.open(t)
	q := s.queues(t)[0]
	if err := o.Write(s.Context(), q, s.packed.Queues[q][2]); err == nil {
		s.Error("a message behind a hole was taken")
	}
	_ = o.Close()
	o = s.open(t)
	o.all(t)
	s.shows(o, t)
}

// adopted begins a table with its BEGIN, as if all before it had aged out.
func (s *sinkTest) adopted() {
	t := s.table(0)
	o := s.open(t)
	for _, q := range s.queues(t) {
		all := s.packed.Queues[q]
		begin := slices.IndexFunc(all, func(m *event.Slice) bool { return m.Kind == event.KindBegin })
		if begin > 0 {
			s.must(o.AdoptBegin(q, all[begin].Prev))
		}
		o.at[q] = begin
	}
	o.all(t)
	s.shows(o, t)
}

func (s *sinkTest) empty() {
	o := s.open(s.table(0))
	o.flush()
	s.must(o.Maintain(s.Context()))
	o.all(s.table(0))
	o.flush()
	s.shows(o, s.table(0))
}

// everything delivers all messages, each queue in its order and the queues in any, with
// flushes and new owners between; MILLRACE_SEED chooses.
func (s *sinkTest) everything() {
	seed := rand.Uint64N(1_000_000)
	if text := os.Getenv("MILLRACE_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		s.must(err)
	}
	s.Logf("MILLRACE_SEED=%d", seed)
	for round := range uint64(4) {
		s.anyOrder(seed + round)
	}
}

func (s *sinkTest) anyOrder(seed uint64) {
	s.Helper()
	rng := rand.New(rand.NewPCG(seed, 5))
	s.sut = s.fresh()
	s.script, s.generation = Everything(seed), 0
	var err error
	s.packed, err = Pack(s.Context(), s.script)
	s.must(err)
	for _, t := range s.script.Names() {
		o := s.open(t)
		left := s.queues(t)
		for len(left) > 0 {
			i := rng.IntN(len(left))
			if !o.write(left[i], 1+rng.IntN(5)) {
				left = slices.Delete(left, i, i+1)
			}
			switch rng.IntN(8) {
			case 0:
				o.flush()
			case 1:
				s.must(o.Maintain(s.Context()))
			case 2:
				s.must(o.Close())
				o, left = s.open(t), s.queues(t)
			}
		}
		o.flush()
		s.shows(o, t)
		s.must(o.Close())
	}
}
