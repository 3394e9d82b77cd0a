// Package rebalance decides which member of a consumer group reads which queue. Every
// member computes the same answer from the same lists, so the strategies must equal
// those of RocketMQ's Java client: a group may mix both. It is pure.
package rebalance
