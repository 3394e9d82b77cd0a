// Command bench measures what the project promises about speed and memory, and writes
// docs/benchmarks.md. `make bench` runs it.
//
// Brokers: `millrace bench` drives Millrace and Apache RocketMQ in turns, both warm and
// running through all rounds, with the same load, over TCP, with data on a real disk, and a
// second Millrace beside them (A/A); medians of the rounds are told. Pipelines: a private MariaDB is filled,
// a `millrace standalone` carries the binlog
// into Parquet, and what counts is what the Delta log of the target shows.
//
// The invariant: no figure is left out because it is bad. Every aim has a row with what
// was measured beside it, and work that others did on the machine meanwhile is shown.
package main
