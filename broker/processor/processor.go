package processor

import (
	"log/slog"
	"net/netip"

	"github.com/millrace/millrace/broker/groups"
	"github.com/millrace/millrace/broker/longpoll"
	"github.com/millrace/millrace/broker/offsets"
	"github.com/millrace/millrace/broker/store"
	"github.com/millrace/millrace/broker/topics"
	"github.com/millrace/millrace/broker/txn"
	"github.com/millrace/millrace/broker/writer"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
	"github.com/millrace/millrace/remoting/rpc"
)

// Deps are the engines that the handlers stand on. All but Authorizer are needed.
type Deps struct {
	Store   *store.Store
	Topics  *topics.Registry
	Offsets *offsets.Table
	Groups  *groups.Registry
	Holds   *longpoll.Table
	Txn     *txn.Service
	Writers *writer.Registry
	Metrics *Metrics

	// Authorizer is asked before every request; nil lets everything pass, which is
	// right on loopback only.
	Authorizer Authorizer
	Log        *slog.Logger
}

// Processor holds what the handlers share. It has no goroutine of its own.
type Processor struct {
	Deps
	cfg  Config
	rows map[int]*Row
}

// New returns a processor that dispatches by Table.
func New(cfg Config, deps Deps) *Processor {
	p := &Processor{Deps: deps, cfg: cfg, rows: map[int]*Row{}}
	rows := Table()
	for i := range rows {
		p.rows[rows[i].Code] = &rows[i]
	}
	return p
}

// The methods that transaction.go and writer.go (same package) offer to the rest:
//
//	endTransaction(x)                      37
//	openWriter(x), resolveHalves(x)        31001, 31002
//	putHalf(x, h, rec)                     a send whose sysFlag says "prepared";
//	                                       it replies itself, from the Done callback
//	gateFor(rec) (store.Gate, error)       the gate of a send to an owned queue; an
//	                                       error is replied as its *protocol.Error
//
// The methods that this file offers to them:
//
//	reply(x, *remoting.Command), replyError(x, error)
//	sendResponse(x, rec, store.PutResult)  the answer of a send, all fields set
