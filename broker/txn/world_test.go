package txn_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/broker/store"
	"github.com/millrace/millrace/broker/txn"
	"github.com/millrace/millrace/broker/writer"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

// declared says which topics belong to which writer.
type declared map[string]writer.Owned

func (d declared) Writer(topic string) string {
	for _, part := range strings.Split(topic, "-")[:1] {
		if _, ok := d[topic]; ok {
			return part
		}
	}
	return ""
}

func (d declared) Owned(name string) []writer.Owned {
	var owned []writer.Owned
	for topic, o := range d {
		if d.Writer(topic) == name {
			owned = append(owned, o)
		}
	}
	slices.SortFunc(owned, func(a, b writer.Owned) int { return strings.Compare(a.Topic, b.Topic) })
	return owned
}

// line is a connection that keeps what it was sent.
type line struct{ got []*remoting.Command }

func (l *line) Oneway(c *remoting.Command) error { l.got = append(l.got, c); return nil }

type groupLines map[string]*line

func (g groupLines) Producer(group string) (txn.Channel, bool) {
	l, ok := g[group]
	return l, ok
}

// world is one broker's transactions over a fake log. Topics are named
// "<writer>-<something>"; those in topics are owned.
type world struct {
	t      testing.TB
	cfg    txn.Config
	wcfg   writer.Config
	topics declared
	log    *fakeLog
	fs     vfs.FS
	snaps  bool
	reg    *writer.Registry
	txn    *txn.Service
	now    time.Time
	groups groupLines
	holder map[string]*line
	names  map[string]halfName
}

type halfName struct {
	key   string
	first int64
	queue int64
	group string
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, cfg: txn.DefaultConfig(), wcfg: writer.DefaultConfig(), topics: declared{}, log: newFakeLog(),
		fs: vfs.NewMem(), now: time.UnixMilli(1_000_000), groups: groupLines{}, holder: map[string]*line{}, names: map[string]halfName{}}
	w.start()
	return w
}

func (w *world) own(topic string, queues int32) {
	w.topics[topic] = writer.Owned{Topic: topic, Queues: queues}
}

func (w *world) start() {
	w.t.Helper()
	w.reg = writer.New(w.wcfg, w.topics, w.log, nil)
	deps := txn.Deps{Log: w.log, Writers: w.reg, Producers: w.groups, FS: w.fs, BrokerName: "b", Now: func() time.Time { return w.now }}
	if w.snaps {
		deps.SnapshotFile = "transactions.json"
	}
	s, err := txn.Open(w.cfg, deps)
	if err != nil {
		w.t.Fatal(err)
	}
	w.txn = s
}

// crash restarts over what is durable and the first keep records of the rest.
func (w *world) crash(keep int) {
	w.log = w.log.reopen(keep)
	w.holder = map[string]*line{}
	w.start()
}

// waiting is the answer of what has not been answered.
var errWaiting = errors.New("waiting")

type openResult struct {
	state  writer.State
	halves []txn.HalfState
	err    error
}

func (w *world) open(name string, term uint64, opener string) *openResult {
	res := &openResult{err: errWaiting}
	l := &line{}
	w.txn.OpenWriter(writer.Opening{Writer: name, Term: term, Opener: opener}, l, func(st writer.State, halves []txn.HalfState, err error) {
		if err == nil {
			w.holder[name] = l
		}
		*res = openResult{st, halves, err}
	})
	return res
}

func linkProps(name string, term, lo, hi, prev uint64) []byte {
	num := func(n uint64) string { return strconv.FormatUint(n, 10) }
	p := message.AppendProperty(nil, message.PropertyWriter, name)
	p = message.AppendProperty(p, message.PropertyWriterTerm, num(term))
	p = message.AppendProperty(p, message.PropertyLo, num(lo))
	p = message.AppendProperty(p, message.PropertyHi, num(hi))
	p = message.AppendProperty(p, message.PropertyPrev, num(prev))
	return message.AppendProperty(p, message.PropertyTo, "id"+num(hi))
}

type putResult struct {
	store.PutResult
}

// half stores a half; extra are more properties.
func (w *world) half(name, topic string, queue int32, props []byte, group string) *putResult {
	key := "K" + name
	props = message.AppendProperty(props, message.PropertyUniqueKey, key)
	if group != "" {
		props = message.AppendProperty(props, message.PropertyProducerGroup, group)
	}
	res := &putResult{store.PutResult{Err: errWaiting}}
	rec := &message.Record{Topic: topic, QueueID: queue, Body: []byte(name), Properties: props,
		SysFlag: message.WithTransactionState(0, message.TransactionPrepared), BornTimestamp: w.now.UnixMilli()}
	first, fq := w.log.next, w.log.queues[store.QueueID{Topic: message.TopicTransactionHalf}]
	before := w.log.appends
	err := w.txn.PutHalf(rec, nil, func(r store.PutResult) { res.PutResult = r })
	if err != nil {
		res.Err = err
	}
	if w.log.appends > before {
		w.names[name] = halfName{key: key, first: first, queue: fq, group: group}
	}
	return res
}

func (w *world) send(topic string, queue int32, props []byte) *putResult {
	res := &putResult{store.PutResult{Err: errWaiting}}
	rec := &message.Record{Topic: topic, QueueID: queue, Body: []byte("sent"), Properties: props}
	gate, err := w.reg.Gate(rec)
	if err != nil {
		res.Err = err
		return res
	}
	w.log.Put(&store.PutRequest{Record: rec, Gate: gate, MustBeDurable: true, Done: func(r store.PutResult) { res.PutResult = r }})
	return res
}

func (w *world) ref(name string) txn.Ref {
	n := w.names[name]
	return txn.Ref{First: n.first, Key: n.key, TransactionID: n.key}
}

type resolveResult struct {
	outcomes []txn.Outcome
	err      error
}

func (w *world) resolve(name string, term uint64, commit, rollback []string) *resolveResult {
	res := &resolveResult{err: errWaiting}
	req := txn.ResolveRequest{Writer: name, Term: term}
	for _, h := range commit {
		req.Commit = append(req.Commit, w.ref(h))
	}
	for _, h := range rollback {
		req.Rollback = append(req.Rollback, w.ref(h))
	}
	w.txn.Resolve(req, nil, func(o []txn.Outcome, err error) { *res = resolveResult{o, err} })
	w.txn.Wait()
	return res
}

func (w *world) end(name string, commit bool, mutate func(*txn.EndRequest)) *resolveResult {
	n := w.names[name]
	req := txn.EndRequest{Ref: w.ref(name), Commit: commit, Group: n.group, QueueOffset: n.queue}
	if mutate != nil {
		mutate(&req)
	}
	res := &resolveResult{err: errWaiting}
	w.txn.End(req, func(o txn.Outcome) { *res = resolveResult{[]txn.Outcome{o}, nil} })
	w.txn.Wait()
	return res
}

// describe is an outcome for scripts.
func describe(o txn.Outcome) string {
	switch o.Verdict {
	case txn.Committed:
		return fmt.Sprintf("committed at %d", o.Offset)
	case txn.Duplicate, txn.Gap:
		return fmt.Sprintf("%v, last %d", o.Verdict, o.Last)
	case txn.Failed:
		return fmt.Sprintf("failed: %v", o.Err)
	}
	return o.Verdict.String()
}

func describeErr(err error) string {
	var stale *writer.StaleError
	var link *writer.LinkError
	switch {
	case errors.As(err, &stale):
		return fmt.Sprintf("stale, known %d", stale.Known)
	case errors.As(err, &link) && link.Duplicate:
		return fmt.Sprintf("duplicate, last %d", link.Last)
	case errors.As(err, &link):
		return fmt.Sprintf("gap, last %d", link.Last)
	case errors.Is(err, writer.ErrFenced):
		return "fenced"
	case errors.Is(err, writer.ErrPendingFull):
		return "pending full"
	}
	return err.Error()
}

// visible lists what a consumer of a queue sees: the numbers of an owned queue's messages,
// the bodies of others.
func (w *world) visible(topic string, queue int32) []string {
	var list []string
	w.log.each(topic, queue, func(rec message.Record) {
		if hi, ok := rec.Property(message.PropertyHi); ok {
			prev, _ := rec.Property(message.PropertyPrev)
			term, _ := rec.Property(message.PropertyWriterTerm)
			list = append(list, fmt.Sprintf("%s->%s/t%s", prev, hi, term))
			return
		}
		list = append(list, string(rec.Body))
	})
	return list
}

// checkRequest reads a check-back.
func checkRequest(t testing.TB, c *remoting.Command) (protocol.CheckTransactionStateHeader, message.Record) {
	t.Helper()
	var h protocol.CheckTransactionStateHeader
	if err := h.Decode(c); err != nil {
		t.Fatal(err)
	}
	rec, _, err := message.ParseRecord(c.Body)
	if err != nil {
		t.Fatal(err)
	}
	return h, rec
}
