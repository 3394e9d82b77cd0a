// Package broker is one broker: it composes the store, transactions, writers, topics,
// groups, offsets, parked pulls and the processor behind one listener, and tells the
// name servers about it. It is an assembly: nothing below it imports it; commands and
// tests do.
//
// New recovers the store and listens; it serves nothing. Run serves until its context
// ends, then stops in order: no new requests, answers that are due, goodbye to the name
// servers, transactions, consumer offsets, store. What was acknowledged is safe at any
// moment under the configured guarantee; an orderly stop only makes the next start quick.
//
// On disk it keeps RocketMQ's layout below storePathRootDir: the store's directories and
// config/{topics,consumerOffset,subscriptionGroup}.json. The wire is in docs/protocol.md.
// What is taken over of RocketMQ's stores and files, and what is refused, is in
// docs/import.md.
//
// Not here yet: replication (brokerRole is ASYNC_MASTER), authentication, TLS,
// configuration at run time.
package broker
