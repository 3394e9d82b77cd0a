// Package processor answers the requests of a broker: one file per family of codes,
// and one table of codes that dispatch, authorisation and docs/protocol.md share.
//
// Only package broker may call it. A handler runs on the reader goroutine of its
// connection; it must not wait for a disk or another machine there. What must wait
// (an append, a parked pull) keeps its call, which is finished later; all others return
// their answer or the error that refuses.
//
// Invariants:
//   - every two-way request is answered exactly once, one-way requests never, and a request
//     whose every answer its client misreads (refused.go) neither;
//   - the code of every answer is measured in one place (call.go), and what is not served
//     is counted and said (refused.go);
//   - an append is acknowledged from the store's Done callback and from nowhere else;
//   - no string of a request becomes part of a file name before the allow-list of
//     package topics has let it pass;
//   - a code that the table does not hold, or holds without a handler, is refused by
//     name, and an authoriser that refuses is asked before any handler runs.
//
// The wire format is remoting/protocol's; what each code does is in docs/protocol.md,
// which is generated from the table.
//
// Not here yet: delay levels and timers, retry and dead letters, queue locks, queries
// by key, request-reply, SQL filters, ACL, replication, POP.
package processor
