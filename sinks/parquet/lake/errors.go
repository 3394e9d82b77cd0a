package lake

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/sinks/objects/s3"
)

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// Unwritable wraps an error of the store that left the target as it was. A bucket's says
// itself what to do about it.
func Unwritable(what, name string, err error) error {
	if answer := (*s3.Error)(nil); errors.As(err, &answer) {
		return fmt.Errorf("%w: %s %s: %w", pipeline.ErrUnwritable, what, name, err)
	}
	remedy := "see what the path's disk and permissions say"
	switch {
	case isFull(err):
		remedy = "free space on the disk; the table goes on by itself"
	case errors.Is(err, fs.ErrPermission):
		remedy = "give this user write permission"
	}
	return fmt.Errorf("%w: %s %s: %w (%s)", pipeline.ErrUnwritable, what, name, err, remedy)
}
