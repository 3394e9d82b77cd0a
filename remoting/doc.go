// Package remoting is the frame of the RocketMQ remoting protocol: length,
// header in JSON or in RocketMQ's binary form, body. It is vocabulary: pure
// functions over bytes, no sockets (those are in remoting/rpc), no clock, and
// no meaning of any code (that is remoting/protocol).
//
// The invariant: whatever the bytes, a decoder returns a command or an error;
// it takes memory only in proportion to bytes that are there; and what it
// accepts it reads as encoding/json would. A parsed command's strings are its
// own, its body shares the frame's memory.
//
// The layout is documented in docs/format/remoting.md.
package remoting
