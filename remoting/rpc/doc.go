// Package rpc moves remoting commands over sockets: the only place where the
// broker half opens one. A Server hands requests to a Handler, a Client
// invokes addresses; both sides of a connection may start requests.
//
// One goroutine reads a connection and calls the handler inline, another
// writes. Frames are parsed where they were read and a small answer is copied
// once, into the connection's output; what accumulates while the socket is
// busy, or while a burst of requests is being served, leaves in one write.
//
// The invariant: no peer makes us hold more than a fixed number of bytes. A
// frame is refused before memory is taken for it, memory for a large one
// grows with the bytes that arrive, requests are read only while unanswered
// ones and unsent answers are below their limits, and a peer that is silent
// inside a frame, before the first one, or while we have something to send is
// cut off. Garbage costs its own connection and nothing else.
//
// TLS and the PROXY preamble are recognised and refused with a clear message;
// neither is spoken yet.
package rpc
