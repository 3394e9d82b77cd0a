// Package inspect looks into a store's directory without changing it and without the
// store running: every record of the commit log, every unit of the consume queues, and
// whether they agree. It is for the command line and for tests; it reads RocketMQ's
// directories as well. The formats are documented in docs/format/commitlog.md and
// docs/format/consumequeue.md.
package inspect
