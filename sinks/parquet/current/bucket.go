package current

import (
	"math/bits"
	"slices"
	"strings"

	"github.com/millrace/millrace/sinks/delta"
)

// bucket is a range of key hashes: those whose first depth bits are the prefix's. The
// files of current/ hold one bucket each; one that has grown is split in two.
type bucket struct {
	depth  int
	prefix uint64 // its first depth bits, the rest zero
}

func (b bucket) has(hash uint64) bool {
	return b.depth == 0 || (hash^b.prefix)>>(64-b.depth) == 0
}

// covers reports whether every hash of o is one of b.
func (b bucket) covers(o bucket) bool { return b.depth <= o.depth && b.has(o.prefix) }

// half is one of the two buckets that b consists of.
func (b bucket) half(bit uint64) bucket {
	return bucket{b.depth + 1, b.prefix | bit<<(63-b.depth)}
}

// end is the first hash above b; ok is false when there is none.
func (b bucket) end() (uint64, bool) {
	if b.depth == 0 {
		return 0, false
	}
	sum, carry := bits.Add64(b.prefix, 1<<(64-b.depth), 0)
	return sum, carry == 0
}

// last is the greatest hash in b.
func (b bucket) last() uint64 {
	return b.prefix | ^uint64(0)>>b.depth
}

// text is "b" and the bits of the prefix.
func (b bucket) text() string {
	var s strings.Builder
	s.WriteByte('b')
	for i := range b.depth {
		s.WriteByte('0' + byte(b.prefix>>(63-i)&1))
	}
	return s.String()
}

func parseBucket(s string) (bucket, bool) {
	if !strings.HasPrefix(s, "b") || len(s) > 65 {
		return bucket{}, false
	}
	b := bucket{}
	for _, c := range s[1:] {
		if c != '0' && c != '1' {
			return bucket{}, false
		}
		b = b.half(uint64(c - '0'))
	}
	return b, true
}

// bucketTag is the tag of a file of current/ that names its bucket.
const bucketTag = "millrace.bucket"

// group is a bucket with the files that hold its rows.
type group struct {
	bucket
	files []*delta.Add
}

// groupFiles sorts files into buckets that cover every hash and do not overlap. Files
// that another program has rewritten carry no bucket: then all are one group.
func groupFiles(files []*delta.Add) []group {
	byBucket := map[bucket][]*delta.Add{}
	whole := []group{{files: files}}
	for _, f := range files {
		b, ok := parseBucket(f.Tags[bucketTag])
		if !ok {
			return whole
		}
		byBucket[b] = append(byBucket[b], f)
	}
	var list []group
	for b, fs := range byBucket {
		list = append(list, group{b, fs})
	}
	slices.SortFunc(list, func(a, b group) int {
		switch {
		case a.prefix != b.prefix && a.prefix < b.prefix:
			return -1
		case a.prefix != b.prefix:
			return 1
		}
		return a.depth - b.depth
	})
	for i := 1; i < len(list); i++ {
		if list[i-1].covers(list[i].bucket) {
			return whole
		}
	}
	return cover(bucket{}, list)
}

// cover adds empty groups where no file has the hashes. list is sorted and lies in b.
func cover(b bucket, list []group) []group {
	if len(list) == 0 {
		return []group{{bucket: b}}
	}
	if len(list) == 1 && list[0].bucket == b {
		return list
	}
	zero, one := b.half(0), b.half(1)
	i := slices.IndexFunc(list, func(g group) bool { return one.covers(g.bucket) })
	if i < 0 {
		i = len(list)
	}
	return append(cover(zero, list[:i:i]), cover(one, list[i:])...)
}
