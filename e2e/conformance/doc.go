// Package conformance holds every source and sink of the tree against the suites of
// pipeline/pipelinetest. What a suite cannot know of a target is in that target's tests.
package conformance
