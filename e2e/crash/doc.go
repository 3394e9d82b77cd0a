// Package crash stops a pipeline between every two steps of the whole way: source, broker
// and both kinds of targets in one process, the runner and everything below it real, the
// source scripted (see pipeline/pipelinetest for what that leaves unproven).
//
// One undisturbed run counts the requests of the daemon's clients, their answers, the
// writing steps of the lake's file system with those of the checking target, and the
// writing steps of the broker's file system. Then each way of stopping is tried at steps
// of that number: the daemon dies before a request is sent; it dies when the request was
// carried out and nobody heard; it dies at a step of a target, of whose disk a power cut
// leaves what it may; the broker loses its power and the daemon goes on. What is durable
// is started again, the script runs to its end, and the invariants are looked at.
//
// Steps are sampled evenly, at places that the seed moves; MILLRACE_STEPS=all takes every
// one, MILLRACE_SEED chooses the script and the places.
//
// What a run does is not the same twice: goroutines and groups' times decide which request
// is the hundredth. The steps are the same in kind and nearly so in number; each suite
// says how many of its stops came before the run's end.
package crash
