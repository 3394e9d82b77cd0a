package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/httpapi"
	"github.com/millrace/millrace/pipeline/spec"
)

// lettersAsk is something that the owner of a target table is to do with what is put aside of
// it, between two flushes.
type lettersAsk struct {
	ctx    context.Context // whoever asks has gone when it ends
	verb   string
	seqs   []event.Seq
	answer chan lettersAnswer // with room for one
}

type lettersAnswer struct {
	done pipeline.LettersDone
	err  error
}

func (a *lettersAsk) refuse(err error) { a.answer <- lettersAnswer{err: err} }

// errRoom says that there is room again for what the target can't hold: the table goes on.
var errRoom = errors.New("letters went; the table is opened again")

// letterBounds are what may be put aside.
func (o *owner) letterBounds() pipeline.LetterBounds {
	p := o.pipe.spec
	if p.OnError != spec.PutAside {
		return pipeline.LetterBounds{}
	}
	return pipeline.LetterBounds{Rows: p.DeadLetter.Rows, Bytes: int64(p.DeadLetter.Bytes)}
}

// asked is what somebody asks for, nil when nobody does.
func (o *owner) asked() *lettersAsk {
	select {
	case a := <-o.asks:
		return a
	default:
		return nil
	}
}

// work does what was asked, behind a flush.
func (o *owner) work(ctx context.Context, target pipeline.SinkTable, a *lettersAsk) error {
	if err := a.ctx.Err(); err != nil {
		a.refuse(err)
		return nil
	}
	t, ok := target.(pipeline.Lettered)
	if !ok {
		a.refuse(fmt.Errorf("sink %s puts nothing aside", o.sink.Name))
		return nil
	}
	do := t.ReplayLetters
	if a.verb == httpapi.Drop {
		do = t.DropLetters
	}
	done, err := do(ctx, a.seqs)
	a.answer <- lettersAnswer{done, err}
	if err != nil {
		return fmt.Errorf("%s letters of %s in sink %s: %w", a.verb, o.table.Name, o.sink.Name, err)
	}
	o.look(target, noVersion)
	if done.Gone > 0 && o.refused != 0 {
		return errRoom
	}
	return nil
}

// ask has the owner do something with its letters, and waits for it. Until it is about its
// table it is not reached.
func (o *owner) ask(ctx context.Context, verb string, seqs []event.Seq) (pipeline.LettersDone, error) {
	a := &lettersAsk{ctx: ctx, verb: verb, seqs: seqs, answer: make(chan lettersAnswer, 1)}
	wait, cancel := context.WithTimeout(ctx, recordWait)
	defer cancel()
	select {
	case o.asks <- a:
	case <-wait.Done():
		s := o.summary()
		return pipeline.LettersDone{}, fmt.Errorf("the target is %s and can't be asked now (%s): nothing was done; ask again when it runs",
			s.State, s.Reason)
	}
	select {
	case got := <-a.answer:
		return got.done, got.err
	case <-ctx.Done():
		return pipeline.LettersDone{}, fmt.Errorf("it was not done in time, and may be done yet: list the letters: %w", ctx.Err())
	}
}

// specOf is a pipeline's file, and the pipeline where it runs.
func (r *Runner) specOf(verb, name string) (*spec.Pipeline, *pipe, error) {
	r.mu.Lock()
	one, standing := r.running[name], r.paused[name]
	r.mu.Unlock()
	switch {
	case one != nil:
		return one.pipe.spec, one.pipe, nil
	case standing != nil:
		return standing.spec, nil, nil
	}
	return nil, nil, r.notRunning(verb, name)
}

// chosenSinks are the sinks that are meant.
func chosenSinks(p *spec.Pipeline, which *httpapi.LetterChoice) ([]spec.Sink, error) {
	if which.Sink == "" {
		return p.Sinks, nil
	}
	i := slices.IndexFunc(p.Sinks, func(s spec.Sink) bool { return s.Name == which.Sink })
	if i < 0 {
		return nil, fmt.Errorf("the sink %q of pipeline %s is %w", which.Sink, p.Name, httpapi.ErrUnknown)
	}
	return p.Sinks[i : i+1], nil
}

// tableOf is why a table that is meant is none of a pipeline's.
func tableOf(p *spec.Pipeline, which *httpapi.LetterChoice, found bool) error {
	if which.Table == "" || found {
		return nil
	}
	return fmt.Errorf("the table %q of pipeline %s is %w to its targets", which.Table, p.Name, httpapi.ErrUnknown)
}

// Letters lists what is put aside, as the targets say: see httpapi.Daemon.
func (r *Runner) Letters(ctx context.Context, name string, which httpapi.LetterChoice) ([]httpapi.Letters, error) {
	p, _, err := r.specOf("letters", name)
	if err != nil {
		return nil, err
	}
	sinks, err := chosenSinks(p, &which)
	if err != nil {
		return nil, err
	}
	out, found := []httpapi.Letters{}, false
	for _, s := range sinks {
		list, has, err := r.lettersIn(ctx, p, s, &which)
		if err != nil {
			return nil, fmt.Errorf("what is put aside in sink %s: %w", s.Name, err)
		}
		out, found = append(out, list...), found || has
	}
	return out, tableOf(p, &which, found)
}

// lettersIn are those in a sink; found says that it has a table that is meant.
func (r *Runner) lettersIn(ctx context.Context, p *spec.Pipeline, s spec.Sink, which *httpapi.LetterChoice) (
	out []httpapi.Letters, found bool, err error) {
	if r.deps.TargetReader == nil {
		return nil, false, errors.New("there is no reader of its tables")
	}
	reader, err := r.deps.TargetReader(p, s)
	if err != nil {
		return nil, false, err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	target, ok := reader.(pipeline.LetterReader)
	tables, err := reader.Tables(ctx)
	if err != nil {
		return nil, false, err
	}
	for _, t := range tables {
		if which.Table != "" && which.Table != t.String() {
			continue
		}
		if found = true; !ok {
			continue // it puts nothing aside
		}
		one := httpapi.Letters{Sink: s.Name, Table: t.String(), Letters: []pipeline.Letter{}}
		err := target.Letters(ctx, t, func(l pipeline.Letter) error {
			if len(which.Seqs) > 0 && !slices.Contains(which.Seqs, l.Seq) {
				return nil
			}
			one.Rows, one.Bytes = one.Rows+1, one.Bytes+l.Bytes
			if len(one.Letters) < which.Limit {
				one.Letters = append(one.Letters, l)
			}
			return nil
		})
		if err != nil && !errors.Is(err, pipeline.ErrNoTable) {
			return nil, false, err
		}
		if one.Rows > 0 {
			out = append(out, one)
		}
	}
	return out, found, nil
}

// WorkLetters has the owners of target tables replay or drop letters: see httpapi.Daemon.
func (r *Runner) WorkLetters(ctx context.Context, name, verb string, which httpapi.LetterChoice) ([]httpapi.LettersOutcome, error) {
	p, running, err := r.specOf(verb, name)
	if err != nil {
		return nil, err
	}
	if running == nil {
		return nil, fmt.Errorf("%s letters: pipeline %s is paused; resume it first: %w", verb, name, httpapi.ErrState)
	}
	sinks, err := chosenSinks(p, &which)
	if err != nil {
		return nil, err
	}
	out, found := []httpapi.LettersOutcome{}, false
	for _, s := range sinks {
		for _, o := range running.ownersOf(s.Name) {
			if which.Table != "" && which.Table != o.table.Name.String() {
				continue
			}
			found = true
			if a := o.summary().PutAside; a != nil && a.Rows == 0 {
				continue
			}
			one := httpapi.LettersOutcome{Sink: s.Name, Table: o.table.Name.String()}
			if one.LettersDone, err = o.ask(ctx, verb, which.Seqs); err != nil {
				one.Error = err.Error()
			}
			out = append(out, one)
		}
	}
	return out, tableOf(p, &which, found)
}

// ownersOf are the owners of a sink's tables, by name.
func (p *pipe) ownersOf(sink string) (out []*owner) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.order {
		if o := p.owners[ownerKey{sink, t}]; o != nil {
			out = append(out, o)
		}
	}
	return out
}
