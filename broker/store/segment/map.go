package segment

import (
	"errors"
	"fmt"

	"github.com/millrace/millrace/internal/vfs"
)

// Map shows n bytes from off on, which lie in one file. It fails with errors.ErrUnsupported
// where files cannot be mapped, and with ErrOutside where there is no file.
func (f *Files) Map(off int64, n int) (vfs.Mapping, error) {
	if f.StartOf(off) != f.StartOf(off+int64(n)-1) {
		return nil, fmt.Errorf("%w: %d bytes at %s are in two", ErrOutside, n, f.Place(off))
	}
	var m vfs.Mapping
	err := f.each(off, int64(n), func(h *Handle, at, _, _ int64) (err error) {
		file, ok := h.File.(vfs.Mapper)
		if !ok {
			return errors.ErrUnsupported
		}
		m, err = file.Map(at, n)
		return err
	})
	return m, err
}
