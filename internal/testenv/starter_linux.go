package testenv

import "syscall"

// endsWithStarter has the kernel kill a program when who started it has ended, by whatever: a
// test binary that is killed or runs out of time stops nothing itself. What the program has
// started is not killed with it.
func endsWithStarter(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }
