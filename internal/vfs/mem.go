package vfs

// Mem is a file system in memory that knows what a power cut would leave.
type Mem struct{}
