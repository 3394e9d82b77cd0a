// Package route is what a name server knows: which brokers are alive and which topics
// they serve. A Table is a value without locks, goroutines or a clock: time is a
// parameter, whoever shares a Table guards it.
//
// Only package namesrv uses it. Invariant: a route never names a broker whose last word
// is older than its timeout at the last Expire, or whose connection was dropped.
// Everything is in memory; brokers say it again every 30 seconds.
//
// Not here yet: acting masters, static topics, zones.
package route
