// Command millrace is the whole product in one binary: name server, broker, pipeline
// daemon, and the tools around them. It joins the tables of sources and sinks, the bus
// and the runner; nothing imports it.
//
// Exit codes are 0 ok, 1 runtime, 2 configuration, 3 environment. Configuration is flag,
// environment, file, default, in this order; configs/ has a commented file a command.
//
// Not done yet: admin message and admin doctor; sharing pipelines between daemons.
package main
