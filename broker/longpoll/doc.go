// Package longpoll holds the pulls that found nothing until a message arrives, their
// time is up, or their connection goes away.
//
// Package broker owns the one Table; the pull handler parks, the store's listener
// reports arrivals. Invariant: a parked Waiter's Wake is called exactly once, outside
// all locks, unless its owner was dropped before. The number of waiters is bounded, in
// all and for each owner; what does not fit is refused at once, so that the client
// hears "nothing found" and asks again.
//
// It writes no file. It knows nothing of properties: a filter beyond tags has to be
// evaluated by the pull that follows the wake-up.
package longpoll
