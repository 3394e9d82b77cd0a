package mysql

import (
	"context"

	"github.com/millrace/millrace/connectors/mysql/snapshot"
	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/pipeline/event"
)

// stage is where an attempt is:
//
//	due → locating → approaching → reading → resolving          a table with a key
//	due → locating → approaching → opening → arriving → handing → resolving   without one
//
// A failure leads back to due, or within reading to the cursor.
type stage string

const (
	stageDue         stage = "due"         // nothing is known yet
	stageLocating    stage = "locating"    // a job asks for the server's end
	stageApproaching stage = "approaching" // the reader is on its way there
	stageReading     stage = "reading"     // BEGIN was handed over; windows come and go
	stageOpening     stage = "opening"     // one snapshot of the whole table is being opened; the reader waits
	stageArriving    stage = "arriving"    // the reader is on its way to the snapshot's place
	stageHanding     stage = "handing"     // the reader waits there until all rows are handed over
	stageResolving   stage = "resolving"   // every row was handed over; their groups are not resolved yet
)

// holds reports whether the reader must not move.
func (s stage) holds() bool { return s == stageOpening || s == stageHanding }

// follows says which stages lead to which.
var follows = map[stage][]stage{
	stageDue:         {stageLocating, stageReading},
	stageLocating:    {stageApproaching, stageDue},
	stageApproaching: {stageReading, stageOpening},
	stageReading:     {stageResolving},
	stageOpening:     {stageArriving, stageDue},
	stageArriving:    {stageHanding},
	stageHanding:     {stageResolving},
}

// attempt is one snapshot of one table, due or in progress.
type attempt struct {
	t     *table
	ev    event.Attempt
	stage stage
	goal  place // BEGIN's: the server's end when the snapshot was asked for

	reading                // of a table with a key
	whole   *wholeTable    // of one without
	last    event.Position // the place of what was handed over last

	failures int
	lastErr  string
	quotes   bool // lastErr may quote values of rows
	again    bool // another attempt is due when this one is through
	own      bool // the source itself asked for it
	ctx      context.Context
	cancel   context.CancelFunc
}

func newAttempt(ctx context.Context, t *table, cause string) *attempt {
	a := &attempt{t: t, ev: event.Attempt{Table: t.name, Cause: cause}, stage: stageDue}
	a.ctx, a.cancel = context.WithCancel(ctx)
	return a
}

// enter goes to the next stage.
func (a *attempt) enter(next stage) {
	for _, s := range follows[a.stage] {
		if s == next {
			a.stage = next
			return
		}
	}
	panic("BUG: an attempt goes from " + string(a.stage) + " to " + string(next))
}

// close ends what the attempt has going on. It is of no use any more.
func (a *attempt) close() {
	a.cancel()
	a.throw()
	if a.whole != nil {
		a.whole.close()
	}
}

// plan plans the reading from the cursor on.
func (a *attempt) plan(ts *tables) error {
	plan, err := snapshot.NewPlan(a.t.ev.Schema, ts.server.maria, ts.lossy(a.t))
	if err != nil {
		return err
	}
	a.throw()
	next, err := snapshot.DecodeKey(a.ev.Cursor, plan.Columns())
	a.reading = reading{of: plan, next: next, touched: map[string]uint64{}, retryAt: a.retryAt}
	return err
}

// touch notes a key that transaction at changed.
func (a *attempt) touch(img event.Image, at uint64) error {
	var stack [128]byte
	key, err := event.AppendKey(stack[:0], img, a.t.ev.Schema, a.t.ev.Schema.PrimaryKey)
	if err != nil {
		return err
	}
	if _, ok := a.touched[string(key)]; !ok {
		a.bytes += len(key) + touchedCost
	}
	a.touched[string(key)] = at
	return nil
}

// touchedCost is what a touched key takes beside its bytes.
const touchedCost = 48

// numberInChunk is the number of a chunk's i-th row: each has its own.
func numberInChunk(first event.Seq, i int) event.Seq {
	if seeded.On(seeded.ChunkSharesNumber) {
		return first
	}
	return first + chunkStep*event.Seq(i)
}

// chunkStep is two counts: each row could be a deletion and a creation.
const chunkStep = 2
