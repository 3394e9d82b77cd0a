package parquet

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/millrace/millrace/pipeline"
)

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// unwritable wraps an error of the store that left the target as it was.
func unwritable(what, name string, err error) error {
	remedy := "see what the path's disk and permissions say"
	switch {
	case isFull(err):
		remedy = "free space on the disk; the table goes on by itself"
	case errors.Is(err, fs.ErrPermission):
		remedy = "give this user write permission"
	}
	return fmt.Errorf("%w: %s %s: %w (%s)", pipeline.ErrUnwritable, what, name, err, remedy)
}
