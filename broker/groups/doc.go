// Package groups knows who is connected: the members of producer and consumer groups,
// what each consumer group subscribed to, and how groups are configured.
//
// Package broker owns the one Registry and the one Configs; the heartbeat handler feeds
// it, connections that close and the passage of time take members away. Invariant: when
// the members of a consumer group change, the function given to NewRegistry is called
// once with those who remain, after the change is visible and outside all locks.
// Time is a parameter everywhere. The number of groups and of members is bounded.
//
// Members live in memory only; Configs is RocketMQ's subscriptionGroup.json.
//
// Not here yet: broadcast offsets, consumption policies beyond what the file holds.
package groups
