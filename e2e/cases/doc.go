// Package cases holds statements that change capture has been seen to get wrong, here or
// in other systems, and runs them through a whole pipeline: a real MariaDB or MySQL, a
// broker, a daemon, a lake and a ClickHouse. Each case says which of its tables go on and which are to stop
// with which code; a table that goes on must in the end equal the server's, row by row, as
// pipeline/verify compares. So nothing can be wrong in silence: a table is right, or it
// says that it is not.
//
// With the build tag seeded the same kinds of statements are played with everything switched
// off that heeds them, so that tables are wrong in silence: one comparison finds each of them.
//
// All cases of a server share one server and one pipeline, each in a database of its own.
package cases
