// Package client is Millrace's SDK. It speaks the RocketMQ remoting protocol, so it
// works with stock RocketMQ clusters too; only Writer needs Millrace brokers.
//
// There is one type per role:
//
//   - Producer sends: one message, a batch, to a queue, by key, in a transaction.
//   - PushConsumer receives for a group that shares a topic's queues among its members.
//   - Reader pulls from queues and offsets that the caller names, and never moves by
//     itself: an offset that does not exist is an error.
//   - Writer is the single writer of owned queues: numbered, linked messages under a
//     term, halves that are decided later, and typed refusals.
//
// Every role is made with its options, then Start, then Close. Close refuses new work,
// waits for what is in flight until its context ends, and joins every goroutine. All
// methods may be called concurrently unless they say otherwise.
//
// The invariant: nothing is reported as done unless a broker said so, and nothing is
// reported as not done when that is in doubt: then the error is ErrUncertain.
//
// The wire format is documented in docs/protocol.md.
//
// Not done yet: TLS; pull from slaves; POP consumption; request-reply; message trace;
// SQL filters are passed on but not checked here; handing a failed message back to the
// broker (the push consumer retries in place instead); broadcast consumption.
package client
