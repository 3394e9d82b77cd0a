// Package session is what every role of the client stands on: connections to brokers,
// the choice among name servers, routes and their renewal, heartbeats, request signing
// and the hook. Only package client and client/admin use it.
//
// The invariant: a broker's name is resolved to an address at each request, so that a
// broker that moved or failed over is found as soon as a name server knows; and a
// request is never sent twice by this package.
package session
