package bus

import "github.com/millrace/millrace/pipeline/event"

// Progress is how far the attempts are by what is decided: what a restart would find.
// Due tables have an attempt without BEGIN.
func (p *Publisher) Progress() map[event.TableName]event.Attempt {
	p.ck.mu.Lock()
	defer p.ck.mu.Unlock()
	progress := map[event.TableName]event.Attempt{}
	if p.ck.state == nil {
		return progress
	}
	for _, d := range p.ck.state.Due {
		progress[event.TableName(d.Table)] = event.Attempt{Table: event.TableName(d.Table), Cause: d.Cause}
	}
	for _, a := range p.ck.state.Tries {
		progress[event.TableName(a.Table)] = event.Attempt{
			Table: event.TableName(a.Table), Begin: a.Begin, Chunk: a.Chunk, Rows: a.Rows, Estimate: a.Estimate, Cause: a.Cause,
		}
	}
	return progress
}

// Tables are those that the checkpoint knows, so that what their queues hold can be read
// while the source is away. They come without schemas.
func (p *Publisher) Tables() []*event.Table {
	p.ck.mu.Lock()
	defer p.ck.mu.Unlock()
	if p.ck.state == nil {
		return nil
	}
	tables := make([]*event.Table, len(p.ck.state.Tables))
	for i, t := range p.ck.state.Tables {
		tables[i] = &event.Table{Name: event.TableName(t.Name), Queues: t.Queues, Keyless: t.Keyless}
	}
	return tables
}
