package mysql

import (
	"context"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

type capture struct {
	o   *opening
	end event.Position
}

func newCapture(o *opening) *capture                      { return &capture{o: o} }
func (c *capture) resume(a []event.Attempt)               {}
func (c *capture) step(ctx context.Context) error         { return nil }
func (c *capture) holding() bool                          { return false }
func (c *capture) touch(t *table, b, a event.Image) error { return nil }
func (c *capture) cascade(t *table)                       {}
func (c *capture) close()                                 {}
func (c *capture) describe(t *table) pipeline.SourceTable { return pipeline.SourceTable{Name: t.name} }
func (o *opening) abandon(t *table, why string)           {}
