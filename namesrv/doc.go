// Package namesrv is the name server: brokers tell it what they serve, clients ask it
// where to go. It is an assembly over namesrv/route and remoting/rpc; commands and tests
// start it.
//
// Name servers are stateless and know nothing of each other. A broker says its word
// every 30 seconds, is looked at every 10, and is forgotten after 120 seconds of silence
// or at once when its connection closes. Only the key-value configuration is kept, in
// RocketMQ's kvConfig.json, and only when a directory is given.
//
// The codes it serves are in docs/protocol.md, from the table in table.go.
//
// A broker that registers under the name and id of another address has moved, or is a
// second one by mistake: the other is asked, and keeps its place if it answers (claim.go).
//
// Not here yet: authentication, acting masters, the controller, configuration at run
// time.
package namesrv
