package ledger

import (
	"fmt"

	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// Fence is pipeline.ErrSuperseded when the target knows a higher generation than the claim's
// (K1, K2): nothing may be written under this one any more.
func Fence(known uint64, c *pipeline.Claim) error {
	if known <= c.Generation {
		return nil
	}
	return fmt.Errorf("%w: generation %d has table %s, this one is %d", pipeline.ErrSuperseded, known, c.Table, c.Generation)
}

// StillOn says whether what was written since the last commit may be committed (K9): no
// higher generation is in the target, and each queue's mark there is the one that the batch
// was built on. mark is what the target says now of a queue's number.
func (b *Batch) StillOn(known uint64, c *pipeline.Claim, mark func(q int) (event.Seq, bool)) error {
	if err := Fence(known, c); err != nil && !seeded.On(seeded.GenerationIgnored) {
		return err
	}
	if seeded.On(seeded.RewriteAboveMark) {
		return nil
	}
	for q := range b.next.Queues {
		now, seen := mark(q)
		var base event.Seq
		known := q < len(b.base.Queues)
		if known {
			base = b.base.Queues[q].Seq
		}
		if seen != known || now != base {
			return fmt.Errorf("queue %d of %s stands at %d in the target and not at %d: the table must be opened again", q, c.Table, now, base)
		}
	}
	return nil
}
