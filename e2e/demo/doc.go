// Command demo shows Millrace at work on real servers, and checks it: it starts a private
// MariaDB (or MySQL), makes an order database of a million rows, changes it without
// pause, lets millrace bring it into a lake, kills millrace with SIGKILL inside the
// snapshot and inside a large transaction, and compares source and target row by row,
// twice, with readers that share nothing with the sink. Any difference is exit status 1.
//
// With --clickhouse a ClickHouse gets the tables beside the lake, from the same pipeline, and is
// killed as well: the lake goes on, definitions change meanwhile, and both are compared. With --s3
// the lake is in a bucket.
//
// Nothing outside a temporary directory and the cache directory is written.
package main
