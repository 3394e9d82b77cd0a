package errorfs

import "github.com/millrace/millrace/internal/vfs"

type wrapped struct {
	fs   *FS
	file vfs.File
	name string
}

func (w *wrapped) ReadAt(b []byte, off int64) (int, error) {
	if a := w.fs.step(Op{Kind: ReadAt, Path: w.name, Offset: off, Len: len(b)}); a.Err != nil {
		return 0, a.Err
	}
	return w.file.ReadAt(b, off)
}

func (w *wrapped) WriteAt(b []byte, off int64) (int, error) {
	if a := w.fs.step(Op{Kind: WriteAt, Path: w.name, Offset: off, Len: len(b)}); a.Err != nil {
		n := min(a.Tear, len(b))
		if n > 0 {
			if n, err := w.file.WriteAt(b[:n], off); err != nil {
				return n, err
			}
		}
		return n, a.Err
	}
	return w.file.WriteAt(b, off)
}

func (w *wrapped) Truncate(size int64) error {
	if a := w.fs.step(Op{Kind: Truncate, Path: w.name, Offset: size}); a.Err != nil {
		return a.Err
	}
	return w.file.Truncate(size)
}

func (w *wrapped) Sync() error {
	if a := w.fs.step(Op{Kind: Sync, Path: w.name}); a.Err != nil {
		return a.Err
	}
	return w.file.Sync()
}

func (w *wrapped) Size() (int64, error) {
	if a := w.fs.step(Op{Kind: Size, Path: w.name}); a.Err != nil {
		return 0, a.Err
	}
	return w.file.Size()
}

// Close closes the file even where an error is injected: nobody can try again.
func (w *wrapped) Close() error {
	a := w.fs.step(Op{Kind: Close, Path: w.name})
	err := w.file.Close()
	if a.Err != nil {
		return a.Err
	}
	return err
}
