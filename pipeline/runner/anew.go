package runner

import (
	"context"
	"errors"
	"fmt"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/bus"
	"github.com/millrace/millrace/pipeline/event"
)

// errReopen ends an opening so that the next one raises the epoch.
var errReopen = errors.New("a target holds numbers that the broker has lost: the epoch rises")

// giveUpPosition decides that the next opening begins at the source's present end.
func (p *pipe) giveUpPosition() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forget = true
}

// carryOut does, at an opening, what was decided since the last one.
func (p *pipe) carryOut(ctx context.Context, publisher *bus.Publisher, resume pipeline.Resume) (pipeline.Resume, error) {
	p.mu.Lock()
	forget, epoch := p.forget, uint16(0)
	tables := make([]event.TableName, 0, len(p.above))
	for t, mark := range p.above {
		tables, epoch = append(tables, t), max(epoch, mark.Epoch()+1)
	}
	p.mu.Unlock()
	var err error
	if forget {
		if resume, err = publisher.ForgetHistory(ctx, "the source's history did not match"); err != nil {
			return resume, fmt.Errorf("give up the position: %w", err)
		}
	}
	if resume.Epoch < epoch {
		if resume, err = publisher.RaiseEpochTo(ctx, epoch, errReopen.Error(), tables...); err != nil {
			return resume, fmt.Errorf("raise the epoch: %w", err)
		}
	}
	p.mu.Lock()
	p.forget = false
	for _, t := range tables {
		delete(p.above, t)
	}
	p.mu.Unlock()
	return resume, nil
}
