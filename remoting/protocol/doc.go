// Package protocol gives remoting commands their meaning: the codes, the
// header and the body of each request and answer that a broker, a name server
// or a client of ours speaks. It is vocabulary: pure, imported by whoever
// sends or serves.
//
// A header type encodes into and decodes from a command's ext fields; a
// required field that is missing or no number is a *HeaderError that names
// it. Bodies go through EncodeBody and DecodeBody: written as standard JSON
// with quoted keys (but in the object-as-key form where RocketMQ's tools
// accept nothing else), read tolerantly, as fastjson writes. The invariant: a
// body that Java 5.5.0 wrote decodes, and ours is read by it; bytes recorded
// from it, in testdata/golden, hold that.
//
// Names are RocketMQ's, with Header for RequestHeader. Codes that appear
// without a header or body type here are known by name only.
package protocol
