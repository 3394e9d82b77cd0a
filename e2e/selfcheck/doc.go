// Package selfcheck holds the suite of a pipeline that checks itself: a real server, a real
// broker, a real lake, and rows of the lake that are made wrong behind the pipeline's back.
package selfcheck
