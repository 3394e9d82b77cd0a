// Package httpserve runs an HTTP server for as long as a context lives: metrics, health
// and whatever handlers a command adds. Requests have deadlines, headers have a limit,
// and stopping drains. It knows nothing of what it serves.
package httpserve
