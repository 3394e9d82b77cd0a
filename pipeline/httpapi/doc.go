// Package httpapi is the daemon's REST interface: handlers over a small interface that
// the runner fulfils, and the Go client that the command line uses. It decides nothing;
// what can't be done is the runner's error, shown as application/problem+json.
//
//	GET  /v1/pipelines                                 every pipeline's status
//	GET  /v1/pipelines/{name}                          one
//	POST /v1/pipelines/{name}/{verb}                   pause | resume | snapshot | reset
//	POST /v1/pipelines/{name}/tables/{db.table}/{verb} the same for one table
package httpapi
