// Package columns runs pipelines that keep columns and rows back: a real MariaDB or MySQL, a broker, a
// daemon, a lake. Everything that is kept back holds one secret in all of its forms, and in
// the end nothing that was written or said may hold it: not the broker's disk, not the lake's
// files as they are and decoded, not the log, the status or the metrics.
package columns
