package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
)

// FS is a file system. All methods may be called concurrently. Errors are *fs.PathError
// or *os.LinkError, so errors.Is finds fs.ErrNotExist, fs.ErrExist and syscall.ENOSPC.
type FS interface {
	// Create makes an empty file, or empties the one that has the name.
	Create(name string) (File, error)
	// OpenReadWrite opens a file that exists.
	OpenReadWrite(name string) (File, error)
	// Open opens a file for reading.
	Open(name string) (File, error)
	MkdirAll(dir string, perm os.FileMode) error
	// ReadDir returns the names in dir, sorted.
	ReadDir(dir string) ([]string, error)
	Stat(name string) (os.FileInfo, error)
	// Rename replaces newName. Both names are in the same directory.
	Rename(oldName, newName string) error
	// Link gives a file a second name; it fails with fs.ErrExist when the name is taken.
	Link(oldName, newName string) error
	// Remove removes a file or an empty directory.
	Remove(name string) error
	// SyncDir makes the names in dir durable.
	SyncDir(dir string) error
	// Lock takes the file as an exclusive lock until the result is closed. Another
	// holder, in this process or another, gets an error that is ErrLocked.
	Lock(name string) (io.Closer, error)
	// DiskUsage tells how full the disk is that holds dir.
	DiskUsage(dir string) (Usage, error)
}

// AllSyncer is a file system that can make everything durable at once. That is for many
// small files: for one, and where others write a lot, Sync and SyncDir are cheaper.
type AllSyncer interface {
	// SyncAll makes all bytes and names durable that are on the same disk as dir.
	SyncAll(dir string) error
}

// File is an open file. All methods may be called concurrently.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	// Truncate sets the size. Bytes that come into being are zero.
	Truncate(size int64) error
	// Sync makes the bytes and the size durable (fdatasync). After an error nothing is
	// known about what was written since the last success, and trying again proves nothing.
	Sync() error
}

// Usage is a disk's size and what is left of it for us, in bytes.
type Usage struct {
	Total, Free int64
}

// Ratio is the used part, 0 to 1.
func (u Usage) Ratio() float64 {
	if u.Total <= 0 {
		return 0
	}
	return 1 - float64(u.Free)/float64(u.Total)
}

// ErrLocked says that somebody else holds the lock.
var ErrLocked = errors.New("locked by another holder")

// ReadFile returns a file's bytes.
func ReadFile(fsys FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	n, err := f.ReadAt(b, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], err
}

// WriteFileAtomic replaces a file by one that holds data, or leaves it as it was: the
// bytes go to name.tmp, which is synced, renamed, and its directory synced. On return
// without an error the new file is durable.
func WriteFileAtomic(fsys FS, name string, data []byte) error {
	tmp := name + ".tmp"
	if err := writeSynced(fsys, tmp, data); err != nil {
		return err
	}
	if err := fsys.Rename(tmp, name); err != nil {
		return err
	}
	return fsys.SyncDir(path.Dir(name))
}

func writeSynced(fsys FS, name string, data []byte) error {
	f, err := fsys.Create(name)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(data, 0); err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// BackupSuffix is what ReplaceFile appends to the name of the version before.
const BackupSuffix = ".bak"

// ReplaceFile is WriteFileAtomic that keeps the version before as name.bak, as RocketMQ
// does for its tables. At every moment one of the two is whole.
func ReplaceFile(fsys FS, name string, data []byte) error {
	tmp := name + BackupSuffix + ".tmp"
	if err := fsys.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	switch err := fsys.Link(name, tmp); {
	case err == nil:
		if err := fsys.Rename(tmp, name+BackupSuffix); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("keep the version before: %w", err)
	}
	return WriteFileAtomic(fsys, name, data)
}

// MkdirAllSync makes dir and whatever is missing above it, durably.
func MkdirAllSync(fsys FS, dir string) error {
	dir = path.Clean(dir)
	if info, err := fsys.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	parent := path.Dir(dir)
	if parent != dir {
		if err := MkdirAllSync(fsys, parent); err != nil {
			return err
		}
	}
	if err := fsys.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return fsys.SyncDir(parent)
}

// RemoveTree removes dir and everything below it, durably. A missing dir is no error.
func RemoveTree(fsys FS, dir string) error {
	names, err := fsys.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, n := range names {
		child := path.Join(dir, n)
		info, err := fsys.Stat(child)
		if err != nil {
			return err
		}
		if info.IsDir() {
			err = RemoveTree(fsys, child)
		} else {
			err = fsys.Remove(child)
		}
		if err != nil {
			return err
		}
	}
	if err := fsys.Remove(dir); err != nil {
		return err
	}
	return fsys.SyncDir(path.Dir(path.Clean(dir)))
}
