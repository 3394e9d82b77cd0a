// Package routecache keeps what name servers said about topics: which queues a topic
// has, and where the brokers are. It is bookkeeping without sockets and clock, used by
// the client's session.
//
// The invariant: a Route is immutable, so that whoever holds one may read it without a
// lock; queues are in RocketMQ's order (by broker name, then number), so that every
// client that hashes keys over them agrees.
package routecache
