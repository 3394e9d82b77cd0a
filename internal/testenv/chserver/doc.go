// Package chserver describes the ClickHouse server that tests start when no real one is
// named: what is asked of it, and what it does wrong when it is told to. Package testenv
// starts it and has the functions that tests call.
//
// The server (packages engine, native, wire, serve; cmd is the program) is ClickHouse's own
// engine, libchdb, behind the native protocol. Parsing, types, MergeTree, merges, constraints,
// joins, views, quotas of memory and parts, privileges and their errors are the engine's; the
// protocol, users' passwords, query ids and the faults are written here. It is a process of its
// own, so that it can be killed, stopped and started again on its directory.
//
//	s := testenv.ClickHouseWithFaults(t, chserver.Options{})
//	lost := s.Inject(t, chserver.Fault{On: chserver.Insert, Table: s.Name + ".orders", At: chserver.Landed, Drop: true})
//	// … what is tested inserts into s.DSN, and hears nothing of what has landed …
//	lost.WaitHits(1)
//
// A test that needs no more than a ClickHouse takes testenv.ClickHouse(t), which is a real one
// where MILLRACE_TEST_CLICKHOUSE names it.
//
// # What it cannot prove
//
// Nothing that is said here is tested by a green run against this server. A real server, which
// MILLRACE_TEST_CLICKHOUSE names, has to show it.
//
//   - Replicated tables, Keeper, quorum, ON CLUSTER, distributed tables: there is no Keeper
//     (225). Deduplication of replicated inserts with it.
//   - Authentication: passwords are compared here, in clear; no TLS, no LDAP, no CREATE USER
//     (514). Privileges are real, but are given when the server starts (Options.Users).
//   - system.query_log, part_log, asynchronous_metrics, text_log: absent; SYSTEM FLUSH LOGS
//     succeeds without doing anything.
//   - The queue of asynchronous inserts: async_insert=1 is visible at once. async_insert is 0
//     here by default, where 26.3 and later have 1.
//   - What a crash of the machine leaves of files that were not synced. A kill -9 loses nothing
//     that the kernel has; LosePower removes parts afterwards, whole ones.
//   - HTTP; the packets for totals, extremes, logs and profile events; external tables; custom
//     and sparse serialization on the wire; revisions of the protocol other than 54460.
//   - Speed: a block goes through one more copy than on a server. Ratios hold, figures do not.
//
// # What tells that a server has started again
//
// uptime() counts from the start of the process, in seconds, and now() - uptime() may differ by
// one from one query to the next. serverUUID() and hostName() stay the same. A table of the
// engine Memory is empty after every start, clean or not, while its definition stays: a row that
// is found there again says that the server has not started since. All of this is so on a real
// server too.
//
// # Where it answers differently
//
//   - The engine draws its own query ids. The client's is kept as log_comment, whose own value
//     from the client is lost, and stands in system.processes and in KILL QUERY for query_id and
//     initial_query_id.
//   - All sessions are of the engine's user default, with the role of the client's user.
//     currentUser() and user(), and the columns user and initial_user of system.processes and in
//     KILL QUERY, are rewritten to the client's. serverUUID() is rewritten too, since the engine's
//     is zero: it stands in the server's directory and stays over restarts, as a server's does.
//     A rewritten function changes the name of its result's column, unless that has an alias.
//     Nothing is rewritten inside of views. Everybody may kill everybody's queries.
//   - What refuses an insert when its first rows come (252, 241) is heard when the batch is sent;
//     a server may say it when the batch is prepared. Behind a batch comes no progress, as with a
//     server: rows written are not told.
//   - A setting that a client sets with SET and then sends with a query is at its default
//     afterwards, not at what SET gave it.
//   - INSERT … FORMAT other than Native and VALUES with the data sent as blocks is refused (48).
package chserver
