// Package httpapi is the daemon's REST interface: handlers over a small interface that
// the runner fulfils, and the Go client that the command line uses. It decides nothing;
// what can't be done is the runner's error, shown as application/problem+json.
//
//	GET  /v1/pipelines                                 every pipeline's status
//	GET  /v1/pipelines/{name}                          one
//	DELETE /v1/pipelines/{name}?purge_topics=true&purge_target=true   ends it; both are false by default
//	POST /v1/pipelines/{name}/{verb}                   pause | resume | snapshot | reset
//	POST /v1/pipelines/{name}/tables/{db.table}/{verb} the same for one table
//	GET  /v1/pipelines/{name}/letters                  what is put aside in its targets: ?sink=&table=&limit=
//	POST /v1/pipelines/{name}/letters/{verb}           replay | drop, ?sink=&table=&seq=: all that is chosen
//
// The answer to a verb is the pipeline's status; to one on all tables it has their outcomes
// besides: done, unchanged, refused or pending, with the reason. 200 says that none is refused
// or pending, 207 that some are, and all that could be done is.
//
// 200 to a verb on a table says that it is recorded: neither kill -9 nor a pause of the
// pipeline forgets it. 503 says that it is not yet (the source or the broker is away or
// busy), after ten seconds at most: ask again. 409 says that it does not fit the present
// state, 404 that there is no such pipeline or table.
package httpapi
