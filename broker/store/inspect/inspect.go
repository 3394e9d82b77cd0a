package inspect

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strconv"

	"github.com/millrace/millrace/message"
)

// Store is a store's directory.
type Store struct {
	Dir string
	Log string // the directory of its commit log; "" is commitlog below Dir
}

// logFile is one file of the commit log.
type logFile struct {
	path  string
	start int64
	size  int64
}

func (s Store) logFiles() ([]logFile, error) {
	dir := s.Log
	if dir == "" {
		dir = filepath.Join(s.Dir, "commitlog")
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read the commit log: %w", err)
	}
	var files []logFile
	for _, e := range entries {
		start, err := strconv.ParseInt(e.Name(), 10, 64)
		if err != nil || len(e.Name()) != 20 {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, fmt.Errorf("read the commit log: %w", err)
		}
		files = append(files, logFile{filepath.Join(dir, e.Name()), start, info.Size()})
	}
	sort.Slice(files, func(i, j int) bool { return files[i].start < files[j].start })
	return files, nil
}

// ErrStop ends a walk without an error.
var ErrStop = errors.New("stop")

// Walk calls each for every record of the commit log from an offset on, in order. The
// record is valid during the call. The log ends at the first bytes of the last file that
// are no record; anywhere else they are an error that names file and offset.
func (s Store) Walk(from int64, each func(r *message.Record, phys int64, size int) error) error {
	files, err := s.logFiles()
	if err != nil {
		return err
	}
	for i, f := range files {
		if f.start+f.size <= from {
			continue
		}
		last := i == len(files)-1 || !files[i+1].begun()
		err := f.walk(from, last, each)
		if errors.Is(err, ErrStop) {
			return nil
		}
		if err != nil || last {
			return err
		}
	}
	return nil
}

// begun reports whether a file holds anything: the next file is made ahead of its use.
func (f logFile) begun() bool {
	file, err := os.Open(f.path)
	if err != nil {
		return true // let the walk say what is wrong
	}
	defer file.Close()
	var head [8]byte
	_, err = file.ReadAt(head[:], 0)
	return err == nil && head != [8]byte{}
}

// window is how much of a file is held; a record is 4 MiB and its properties at most.
const window = 8 << 20

func (f logFile) walk(from int64, last bool, each func(*message.Record, int64, int) error) error {
	file, err := os.Open(f.path)
	if err != nil {
		return fmt.Errorf("read the commit log: %w", err)
	}
	defer file.Close()
	buffer := make([]byte, window)
	at := max(from, f.start) - f.start
	for at < f.size {
		n, err := file.ReadAt(buffer[:min(window, f.size-at)], at)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read %s at %d: %w", f.path, at, err)
		}
		used, ended, err := f.records(buffer[:n], at, last, each)
		if err != nil || ended {
			return err
		}
		at += int64(used)
	}
	return nil
}

// records goes through the records that b, read at an offset of the file, holds whole.
func (f logFile) records(b []byte, at int64, last bool, each func(*message.Record, int64, int) error) (used int, ended bool, err error) {
	for used < len(b) {
		r, n, err := message.ParseRecord(b[used:])
		phys := f.start + at + int64(used)
		switch {
		case errors.Is(err, message.ErrBlank):
			return used, true, nil
		case errors.Is(err, message.ErrTruncated) && used > 0 && at+int64(len(b)) < f.size:
			return used, false, nil // the window ends inside a record
		case err != nil && last:
			return used, true, nil
		case err != nil:
			return used, true, fmt.Errorf("%s at offset %d (%d in the file): %w", f.path, phys, at+int64(used), err)
		case r.PhysicalOffset != phys && last:
			return used, true, nil // what a longer log left behind
		case r.PhysicalOffset != phys:
			return used, true, fmt.Errorf("%s at offset %d: the record says that it stands at %d", f.path, phys, r.PhysicalOffset)
		}
		if err := each(&r, phys, n); err != nil {
			return used, true, err
		}
		used += n
	}
	return used, false, nil
}

// Unit is one entry of a consume queue.
type Unit struct {
	Phys int64
	Size int32
	Tags int64
}

const unitSize = 20

// Queue is one consume queue.
type Queue struct {
	Topic string
	ID    int
	dir   string
}

// Queues lists the consume queues.
func (s Store) Queues() ([]Queue, error) {
	dirs, err := filepath.Glob(filepath.Join(s.Dir, "consumequeue", "*", "*"))
	if err != nil {
		return nil, fmt.Errorf("list consume queues: %w", err)
	}
	var queues []Queue
	for _, dir := range dirs {
		if id, err := strconv.Atoi(filepath.Base(dir)); err == nil {
			queues = append(queues, Queue{Topic: filepath.Base(filepath.Dir(dir)), ID: id, dir: dir})
		}
	}
	return queues, nil
}

// Walk calls each for every unit of the queue, in order, up to its end.
func (q Queue) Walk(each func(offset int64, u Unit) error) error {
	entries, err := os.ReadDir(q.dir)
	if err != nil {
		return fmt.Errorf("read consume queue %s/%d: %w", q.Topic, q.ID, err)
	}
	for _, e := range entries {
		start, err := strconv.ParseInt(e.Name(), 10, 64)
		if err != nil || len(e.Name()) != 20 {
			continue
		}
		data, err := os.ReadFile(filepath.Join(q.dir, e.Name())) // 6 MB
		if err != nil {
			return fmt.Errorf("read consume queue %s/%d: %w", q.Topic, q.ID, err)
		}
		for at := 0; at+unitSize <= len(data); at += unitSize {
			u := Unit{
				Phys: int64(binary.BigEndian.Uint64(data[at:])), Size: int32(binary.BigEndian.Uint32(data[at+8:])),
				Tags: int64(binary.BigEndian.Uint64(data[at+12:])),
			}
			switch {
			case u.Size == 0:
				return nil // the end: zeroes
			case u.Phys == 0 && u.Size == int32(^uint32(0)>>1):
				continue // filler in front of the first unit
			}
			if err := each((start+int64(at))/unitSize, u); err != nil {
				if errors.Is(err, ErrStop) {
					return nil
				}
				return err
			}
		}
	}
	return nil
}
