// Package inprocess runs a name server and a broker inside a test, over a disk in memory
// whose power can be cut. It is where tests of the pipeline half get a real broker from:
// nothing of that half may import one.
package inprocess
