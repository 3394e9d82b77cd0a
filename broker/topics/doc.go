// Package topics keeps what topics a broker has, and how many queues each.
//
// Package broker owns the one Registry. A change is durable before it is visible, so
// that no message is acknowledged in a queue that a restart forgets. Invariants: a name
// in the registry has passed message.CheckTopic, and is therefore safe as the name of a
// directory; the number of topics and queues is bounded; an owned topic (attribute
// millrace.writer) was declared by CREATE and never by a send, and keeps its owner and
// its number of queues.
//
// The file is RocketMQ's topics.json, replaced as a whole, the version before kept as
// .bak and read when the file is damaged.
//
// Not here yet: static topics, and attributes that change what the store does
// (queue.type, cleanup.policy).
package topics
