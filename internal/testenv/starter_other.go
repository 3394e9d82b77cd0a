//go:build !linux

package testenv

import "syscall"

// endsWithStarter does nothing: other systems have no such service.
func endsWithStarter(*syscall.SysProcAttr) {}
