package vfs

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Mapper is a file whose bytes can be looked at where the system keeps them. Files of OS
// are, others need not be: whoever asks must be able to do with ReadAt.
type Mapper interface {
	// Map shows n bytes from off on, a multiple of the page size. An error that is
	// errors.ErrUnsupported says that no file can be mapped here.
	Map(off int64, n int) (Mapping, error)
}

// Mapping is a piece of a file, for reading. It shows what is written after it was made,
// and stays when the file is closed or removed, whose space it then keeps.
type Mapping interface {
	// Bytes are valid until Close. Where the file was cut, or cannot be read, looking at
	// them is a fault: a signal, or an error of the system call that they are given to.
	// Load asks without a fault, and whoever looks bears one all the same
	// (debug.SetPanicOnFault), since the system may have forgotten the bytes in between.
	Bytes() []byte
	// Load reads the bytes [from, to) into memory, and waits for the disk as ReadAt does.
	// It may be the first to say errors.ErrUnsupported.
	Load(from, to int) error
	// Close ends every use of Bytes, and is called once.
	Close() error
}

type osMapping struct {
	b    []byte
	name string
}

// Map implements Mapper. What it returns needs Linux 5.14, whose madvise can load.
func (f osFile) Map(off int64, n int) (Mapping, error) {
	rc, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	m := &osMapping{name: f.Name()}
	var merr error
	if err := rc.Control(func(fd uintptr) {
		m.b, merr = unix.Mmap(int(fd), off, n, unix.PROT_READ, unix.MAP_SHARED)
	}); err != nil {
		return nil, err
	}
	if merr != nil {
		return nil, mapError("mmap", m.name, merr, unix.ENODEV)
	}
	return m, nil
}

func (m *osMapping) Bytes() []byte { return m.b }

// Load says what a fault would be as an error: EFAULT.
func (m *osMapping) Load(from, to int) error {
	from -= from % os.Getpagesize()
	for {
		err := unix.Madvise(m.b[from:to], unix.MADV_POPULATE_READ)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN):
			return mapError("madvise", m.name, err, unix.EINVAL)
		}
	}
}

// mapError is err, which is errors.ErrUnsupported as well where the system says so by unknown.
func mapError(op, name string, err error, unknown unix.Errno) error {
	wrapped := &os.PathError{Op: op, Path: name, Err: err}
	if errors.Is(err, unknown) {
		return fmt.Errorf("%w: %w", errors.ErrUnsupported, wrapped)
	}
	return wrapped
}

func (m *osMapping) Close() error {
	b := m.b
	m.b = nil
	return unix.Munmap(b)
}
