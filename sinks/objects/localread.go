package objects

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/millrace/millrace/internal/vfs"
)

// localObject is an open file.
type localObject struct {
	vfs.File
	size int64
}

func (o *localObject) Size() int64 { return o.size }

// Open implements Store.
func (l *Local) Open(ctx context.Context, name string) (Object, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	info, err := l.fs.Stat(l.path(name))
	if err == nil && info.IsDir() {
		err = fs.ErrNotExist
	}
	var f vfs.File
	if err == nil {
		f, err = l.fs.Open(l.path(name))
	}
	if absent(err) {
		return nil, fmt.Errorf("open %s: %w", l.path(name), ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	size, err := f.Size()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open %s: %w", l.path(name), err)
	}
	return &localObject{File: f, size: size}, nil
}

// absent says that nothing has the name, nor can anything below it.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// List implements Store.
func (l *Local) List(ctx context.Context, prefix, after string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		w := walk{l: l, ctx: ctx, prefix: prefix, after: after, yield: yield}
		dir, _ := path.Split(prefix)
		w.dir(dir)
	}
}

type walk struct {
	l             *Local
	ctx           context.Context
	prefix, after string
	yield         func(Info, error) bool
}

// entry is a name in a directory; a directory's ends with a slash, as in the names of the
// objects below it, by which they are sorted.
type entry struct {
	name string
	info fs.FileInfo
}

// entries are those of dir ("" or with a slash at its end). One that goes meanwhile is left out.
func (l *Local) entries(dir string) ([]entry, error) {
	names, err := l.fs.ReadDir(l.path(dir))
	if absent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	list := make([]entry, 0, len(names))
	for _, n := range names {
		if dir == "" && n == scratchDir || strings.HasPrefix(n, replacingPrefix) {
			continue
		}
		info, err := l.fs.Stat(l.path(dir + n))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list: %w", err)
		}
		if info.IsDir() {
			n += "/"
		}
		list = append(list, entry{n, info})
	}
	slices.SortFunc(list, func(a, b entry) int { return cmp.Compare(a.name, b.name) })
	return list, nil
}

// dir goes through a directory; false ends the listing.
func (w *walk) dir(dir string) bool {
	list, err := w.l.entries(dir)
	if err == nil {
		err = w.ctx.Err()
	}
	if err != nil {
		w.yield(Info{}, err)
		return false
	}
	for _, e := range list {
		name := dir + e.name
		if e.info.IsDir() {
			wanted := strings.HasPrefix(name, w.prefix) || strings.HasPrefix(w.prefix, name)
			// Of a directory that sorts before after, some names may still come behind it.
			if wanted && (name > w.after || strings.HasPrefix(w.after, name)) && !w.dir(name) {
				return false
			}
			continue
		}
		if strings.HasPrefix(name, w.prefix) && name > w.after &&
			!w.yield(Info{Name: name, Size: e.info.Size(), Modified: e.info.ModTime()}, nil) {
			return false
		}
	}
	return true
}

// Dirs implements Store.
func (l *Local) Dirs(ctx context.Context, dir string) ([]string, error) {
	if dir != "" {
		dir += "/"
	}
	list, err := l.entries(dir)
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, e := range list {
		if !e.info.IsDir() {
			continue
		}
		for _, err := range l.List(ctx, dir+e.name, "") {
			if err != nil {
				return nil, err
			}
			dirs = append(dirs, strings.TrimSuffix(e.name, "/"))
			break
		}
	}
	slices.Sort(dirs)
	return dirs, ctx.Err()
}

var _ Store = (*Local)(nil)
