package verify

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
)

// value is what a side has of a key: how many rows, and the sum of their hashes.
type value struct {
	n   int64
	sum uint64
}

func (v value) plus(hash uint64) value { return value{v.n + 1, v.sum + hash} }

// candidate is a key on which the sides did not agree when they were last read.
type candidate struct {
	source, target value
	// same counts the looks in a row that found what the one before had found; proven those
	// of them at which the target was as far as the source had been.
	same, proven uint8
	blob         []byte // the key's cells
}

const candidateHead = 34

func (c *candidate) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(c.source.n))
	b = binary.LittleEndian.AppendUint64(b, c.source.sum)
	b = binary.LittleEndian.AppendUint64(b, uint64(c.target.n))
	b = binary.LittleEndian.AppendUint64(b, c.target.sum)
	return append(append(b, c.same, c.proven), c.blob...)
}

// parseCandidate reads what append wrote; the blob has b's bytes.
func parseCandidate(b []byte) (candidate, error) {
	if len(b) < candidateHead {
		return candidate{}, errors.New("a record on disk is cut short")
	}
	u := func(i int) uint64 { return binary.LittleEndian.Uint64(b[8*i:]) }
	source, target := value{int64(u(0)), u(1)}, value{int64(u(2)), u(3)}
	return candidate{source: source, target: target, same: b[32], proven: b[33], blob: b[candidateHead:]}, nil
}

// A part that takes more than this in memory is split, unless it can't be any more. A key
// takes some 120 bytes in the tables below.
const (
	maxPartBytes = 16 << 20
	keyBytes     = 120
	maxDepth     = 8
)

var errLarge = errors.New("the part is too large")

// joiner compares spills part by part.
type joiner struct {
	dir  string
	most int64 // bytes of a part in memory
	// peak is the most that a part took.
	peak int64
	made int
}

// settler looks at a key of both sides, may set right what is known of it, and reports that
// nothing is to be done about it.
type settler func(k key, source, target *value) bool

// agree settles keys of which both sides have the same.
func agree(_ key, source, target *value) bool { return *source == *target }

// first compares both sides and gives the keys that are not settled.
func (j *joiner) first(source, target *spill, settled settler, out func(key, *candidate) error) error {
	return j.each([]*spill{source, target}, func(at []*spill, part int) error {
		return j.firstPart(at[0], at[1], part, settled, out)
	})
}

func (j *joiner) firstPart(source, target *spill, part int, settled settler, out func(key, *candidate) error) error {
	type both struct{ source, target value }
	keys := map[key]both{}
	load := func(s *spill, add func(*both, uint64)) error {
		return s.each(part, func(k key, payload []byte) error {
			have, known := keys[k]
			if !known && !j.fits(int64(len(keys)+1)*keyBytes, s.depth) {
				return errLarge
			}
			add(&have, binary.LittleEndian.Uint64(payload))
			keys[k] = have
			return nil
		})
	}
	if err := load(source, func(b *both, h uint64) { b.source = b.source.plus(h) }); err != nil {
		return err
	}
	if err := load(target, func(b *both, h uint64) { b.target = b.target.plus(h) }); err != nil {
		return err
	}
	for k, b := range keys {
		if settled(k, &b.source, &b.target) {
			delete(keys, k)
		} else {
			keys[k] = b
		}
	}
	name := func(k key, payload []byte) error {
		b, differs := keys[k]
		if !differs {
			return nil
		}
		delete(keys, k)
		return out(k, &candidate{source: b.source, target: b.target, blob: payload[8:]})
	}
	if len(keys) == 0 {
		return nil
	}
	return errors.Join(source.each(part, name), target.each(part, name))
}

// again compares what was read of candidates with what they were.
func (j *joiner) again(candidates, source, target *spill, out func(key, *candidate, value, value) error) error {
	return j.each([]*spill{candidates, source, target}, func(at []*spill, part int) error {
		type look struct {
			candidate
			source, target value
		}
		keys, bytes := map[key]*look{}, int64(0)
		err := at[0].each(part, func(k key, payload []byte) error {
			bytes += 2*keyBytes + int64(len(payload))
			if !j.fits(bytes, at[0].depth) {
				return errLarge
			}
			c, err := parseCandidate(append([]byte(nil), payload...))
			keys[k] = &look{candidate: c}
			return err
		})
		if err != nil || len(keys) == 0 {
			return err
		}
		for i, s := range at[1:] {
			err := s.each(part, func(k key, payload []byte) error {
				if l := keys[k]; l != nil && i == 0 {
					l.source = l.source.plus(binary.LittleEndian.Uint64(payload))
				} else if l != nil {
					l.target = l.target.plus(binary.LittleEndian.Uint64(payload))
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		for k, l := range keys {
			if err := out(k, &l.candidate, l.source, l.target); err != nil {
				return err
			}
		}
		return nil
	})
}

func (j *joiner) fits(bytes int64, depth int) bool {
	j.peak = max(j.peak, bytes)
	return bytes <= j.most || depth >= maxDepth
}

// each does every part of the spills, and splits those that are too large.
func (j *joiner) each(at []*spill, do func(at []*spill, part int) error) error {
	for part := range parts {
		err := do(at, part)
		if errors.Is(err, errLarge) {
			err = j.smaller(at, part, do)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (j *joiner) smaller(at []*spill, part int, do func(at []*spill, part int) error) (err error) {
	split := make([]*spill, len(at))
	defer func() {
		for _, s := range split {
			if s != nil {
				err = errors.Join(err, s.remove())
			}
		}
	}()
	for i, s := range at {
		j.made++
		if split[i], err = s.split(part, filepath.Join(j.dir, fmt.Sprintf("part-%d", j.made))); err != nil {
			return err
		}
	}
	return j.each(split, do)
}
