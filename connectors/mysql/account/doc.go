// Package account is the way to a server: whom to connect to, as whom, and with which
// TLS. The source's questions, its stream of the log, its snapshots and the reader of
// verification make every connection here, so that what the pipeline file says of the
// connection holds for all of them. It knows nothing of what is asked over them.
//
// Invariants. A mode that promises a checked server never falls back to one that is not
// checked: only preferred does without TLS, and only where the server offers none.
// Certificates and keys are read anew for each connection, so that replaced files need
// no restart. Connections that share a Server lead to one server, which each proves before
// it is used. An error of the server says what the server demands, as far as this side
// can know it, and nothing that it cannot know.
//
// An Account may be used by several goroutines.
package account
