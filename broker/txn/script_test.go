package txn_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/millrace/millrace/broker/txn"
	"github.com/millrace/millrace/message"
)

// TestScripts runs testdata: histories of a broker's transactions with what every request
// is answered. The commands are the cases below.
func TestScripts(t *testing.T) { runScripts(t, false) }

// TestScriptsWithoutIndex runs them over a log that can't be asked by key.
func TestScriptsWithoutIndex(t *testing.T) { runScripts(t, true) }

func runScripts(t *testing.T, noIndex bool) {
	datadriven.Walk(t, "testdata/script", func(t *testing.T, path string) {
		w := newWorld(t)
		w.log.noIndex = noIndex
		w.snaps = strings.Contains(path, "snapshot")
		w.start()
		var later []func() string // answers that wait for a flush
		show := func(f func() string) string {
			if s := f(); !strings.HasSuffix(s, "waiting") {
				return s + "\n"
			}
			later = append(later, f)
			return "waiting\n"
		}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "own": // topic= queues=
				var topic string
				var queues int
				d.ScanArgs(t, "topic", &topic)
				d.ScanArgs(t, "queues", &queues)
				w.own(topic, int32(queues))
				return ""
			case "limit": // pending=<bytes>
				var n int64
				d.ScanArgs(t, "pending", &n)
				w.wcfg.MaxPendingBytes = n
				w.start()
				return ""
			case "hold":
				w.log.hold = true
				return ""
			case "flush":
				w.log.hold = false
				w.log.flush()
				var b strings.Builder
				for _, f := range later {
					b.WriteString(f() + "\n")
				}
				later = nil
				return b.String()
			case "crash": // keep=<records>
				keep := 0
				d.MaybeScanArgs(t, "keep", &keep)
				later = nil
				w.crash(keep)
				return ""
			case "snapshot":
				w.txn.Snapshot()
				return ""
			case "fail": // appends fail
				w.log.failure = fmt.Errorf("no space")
				return ""
			case "heal":
				w.log.failure = nil
				return ""
			case "retention": // of everything there is
				if err := w.log.retain(w.log.next); err != nil {
					return err.Error() + "\n"
				}
				return fmt.Sprintf("%d records\n", len(w.log.recs))
			case "forget":
				var topic string
				d.ScanArgs(t, "topic", &topic)
				w.reg.Forget(topic)
				if err := w.reg.Settle(); err != nil {
					return err.Error() + "\n"
				}
				return ""
			case "check": // after=<duration>
				var after string
				d.ScanArgs(t, "after", &after)
				return w.scriptCheck(t, after)
			case "member": // group=
				var g string
				d.ScanArgs(t, "group", &g)
				w.groups[g] = &line{}
				return ""
			case "log":
				var topic string
				var queue int
				d.ScanArgs(t, "topic", &topic)
				d.MaybeScanArgs(t, "queue", &queue)
				if list := w.visible(topic, int32(queue)); len(list) > 0 {
					return strings.Join(list, " ") + "\n"
				}
				return "nothing\n"
			case "pending":
				return fmt.Sprintf("%d\n", w.txn.Pending())
			}
			return show(w.scriptRequest(t, d))
		})
	})
}

// scriptRequest starts a request and returns what describes its answer.
func (w *world) scriptRequest(t *testing.T, d *datadriven.TestData) func() string {
	switch d.Cmd {
	case "open": // writer= term= opener=
		var name, opener string
		var term uint64
		d.ScanArgs(t, "writer", &name)
		d.ScanArgs(t, "term", &term)
		d.ScanArgs(t, "opener", &opener)
		res := w.open(name, term, opener)
		return func() string { return describeOpen(res) }
	case "half", "send": // [name=] topic= [queue=] [writer= term= lo= hi= prev=] [group=]
		name, topic, props, group, queue := scanMessage(t, d)
		if d.HasArg("base") {
			props = message.AppendProperty(props, message.PropertyBase, "1")
		}
		var res *putResult
		if d.Cmd == "half" {
			res = w.half(name, topic, queue, props, group)
		} else {
			res = w.send(topic, queue, props)
		}
		return func() string {
			if res.Err != nil {
				return describeErr(res.Err)
			}
			return fmt.Sprintf("ok at %d", res.QueueOffset)
		}
	case "resolve": // writer= term= [commit=(a,b)] [rollback=(c)]
		var name string
		var term uint64
		d.ScanArgs(t, "writer", &name)
		d.ScanArgs(t, "term", &term)
		commit, rollback := list(d, "commit"), list(d, "rollback")
		res := w.resolve(name, term, commit, rollback)
		return func() string {
			if res.err != nil {
				return describeErr(res.err)
			}
			var lines []string
			for i, h := range append(append([]string{}, commit...), rollback...) {
				lines = append(lines, h+": "+describe(res.outcomes[i]))
			}
			return strings.Join(lines, "\n")
		}
	case "end": // name= commit|rollback [key=] [tx=] [group=]
		var name string
		d.ScanArgs(t, "name", &name)
		res := w.end(name, d.HasArg("commit"), func(r *txn.EndRequest) {
			d.MaybeScanArgs(t, "key", &r.Key)
			d.MaybeScanArgs(t, "tx", &r.TransactionID)
			d.MaybeScanArgs(t, "group", &r.Group)
		})
		return func() string {
			if res.err != nil {
				return describeErr(res.err)
			}
			return describe(res.outcomes[0])
		}
	}
	t.Fatalf("%s: unknown command %s", d.Pos, d.Cmd)
	return nil
}

func scanMessage(t *testing.T, d *datadriven.TestData) (name, topic string, props []byte, group string, queue int32) {
	var q int
	d.MaybeScanArgs(t, "name", &name)
	d.ScanArgs(t, "topic", &topic)
	d.MaybeScanArgs(t, "queue", &q)
	d.MaybeScanArgs(t, "group", &group)
	if d.HasArg("writer") {
		var wr string
		var term, lo, hi, prev uint64
		d.ScanArgs(t, "writer", &wr)
		d.ScanArgs(t, "term", &term)
		d.ScanArgs(t, "hi", &hi)
		lo = hi
		d.MaybeScanArgs(t, "lo", &lo)
		d.ScanArgs(t, "prev", &prev)
		props = linkProps(wr, term, lo, hi, prev)
	}
	return name, topic, props, group, int32(q)
}

func list(d *datadriven.TestData, key string) []string {
	for _, a := range d.CmdArgs {
		if a.Key == key {
			return a.Vals
		}
	}
	return nil
}

func describeOpen(res *openResult) string {
	if res.err != nil {
		return describeErr(res.err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "term %d", res.state.Term)
	for _, q := range res.state.Queues {
		fmt.Fprintf(&b, "\n%s/%d last %d (%s) at %d, next %d", q.Topic, q.QueueID, q.Hi, q.To, q.Offset, q.Max)
	}
	for _, h := range res.halves {
		fmt.Fprintf(&b, "\nhalf %s %s/%d %d..%d behind %d, term %d", h.TransactionID, h.To.Topic, h.To.ID, h.Lo, h.Hi, h.Prev, h.Term)
	}
	if res.state.BaseOffset >= 0 {
		fmt.Fprintf(&b, "\nbase %s at %d", res.state.BaseTopic, res.state.BaseOffset)
	}
	return b.String()
}

// scriptCheck makes a round of check-backs and shows who was asked what.
func (w *world) scriptCheck(t *testing.T, after string) string {
	dur, err := time.ParseDuration(after)
	if err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(dur)
	w.txn.CheckBack()
	var b strings.Builder
	show := func(who string, l *line) {
		for _, c := range l.got {
			h, rec := checkRequest(t, c)
			fmt.Fprintf(&b, "%s is asked for %s: %s/%d body %q\n", who, h.TransactionID, rec.Topic, rec.QueueID, rec.Body)
		}
		l.got = nil
	}
	for g, l := range w.groups {
		show("group "+g, l)
	}
	for n, l := range w.holder {
		show("writer "+n, l)
	}
	return b.String()
}
