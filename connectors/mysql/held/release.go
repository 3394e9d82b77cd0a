package held

import "github.com/millrace/millrace/connectors/mysql/stream"

// release is what is being given back: the events of the open transaction, and before the
// last one those of one that was prepared.
type release struct {
	on     bool
	single *stream.Event // between transactions
	frame  Frame
	xa     string
	cur    walk
	last   *entry // held back while rows of a prepared one go first
	rows   *walk
	from   *waiting
}

// Next gives the next Step; ok is false when there is none.
func (a *Assembler) Next() (s Step, ok bool, err error) {
	o := &a.out
	if !o.on {
		return s, false, nil
	}
	if o.single != nil {
		s.Event = o.single
		o.on, o.single = false, nil
		return s, true, nil
	}
	if o.last != nil {
		return a.nextWaiting()
	}
	for {
		en, err := o.cur.next()
		if err != nil {
			return s, false, err
		}
		if en == nil {
			a.finish()
			return s, false, nil
		}
		last := o.cur.at == a.cur.events
		if last && o.rows != nil {
			o.last = en
			return a.nextWaiting()
		}
		if o.frame == Prepared && waits(en.ev.Type) {
			continue
		}
		s = Step{Event: en.ev, Frame: en.frame, Last: last, Withdrawn: a.gone.has(o.cur.at - 1), Doubt: a.doubt}
		if last {
			s.XA, s.Unknown = o.xa, o.frame == XACommit && o.from == nil
		}
		return s, true, nil
	}
}

// nextWaiting gives the rows that waited for the XA COMMIT, and then that.
func (a *Assembler) nextWaiting() (s Step, ok bool, err error) {
	o := &a.out
	for o.rows != nil {
		en, err := o.rows.next()
		if err != nil {
			return s, false, err
		}
		if en == nil {
			o.rows = nil
			break
		}
		if !waits(en.ev.Type) {
			continue
		}
		a.moved = *en.ev                // a second reading finds it as it was
		a.moved.Place = o.last.ev.Place // it counts here
		return Step{Event: &a.moved, Frame: en.frame, Withdrawn: o.from.gone.has(o.rows.at - 1), Doubt: o.from.doubt}, true, nil
	}
	en := o.last
	if en == nil {
		panic("BUG: an XA transaction without its end")
	}
	s = Step{Event: en.ev, Frame: en.frame, Last: true, XA: o.xa, Doubt: o.from.doubt}
	o.last = nil
	return s, true, nil
}

// finish notes that every Step of a transaction was taken.
func (a *Assembler) finish() {
	switch o := &a.out; o.frame {
	case Prepared:
		a.forget(o.xa)
		a.prepared[o.xa] = a.park()
	case XACommit, XARollback:
		a.forget(o.xa)
	}
	a.out = release{}
	a.cur.drop()
}
