//go:build !linux

package testenv

// memoryDir is a directory in memory: none is known on other systems.
func memoryDir() string { return "" }

func scratchPattern() string { return "" }
