// Package golden holds what ties remoting and message to Apache RocketMQ: the
// generator of the golden bytes in their testdata (run.sh, Golden.java), and
// tests in which RocketMQ's own tools read what we write.
package golden
