package stream

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-mysql-org/go-mysql/mysql"
)

// Set is an executed set of GTIDs that a reader carries along: cheap to add to, and
// cheap to write out after each transaction. The text form is the server's own.
type Set struct {
	maria   bool
	sources []source             // MySQL
	domains map[uint32][2]uint64 // MariaDB: domain → server, number
}

// source is one UUID or UUID:tag with the numbers executed, as ascending intervals.
type source struct {
	name      string
	intervals []interval
}

type interval struct{ first, last uint64 }

// ParseSet reads a server's text form; "" is the empty set.
func ParseSet(maria bool, text string) (*Set, error) {
	s := &Set{maria: maria}
	if maria {
		s.domains = map[uint32][2]uint64{}
		return s, s.parseMaria(text)
	}
	return s, s.parseMySQL(text)
}

func (s *Set) parseMaria(text string) error {
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		f := strings.Split(part, "-")
		if len(f) != 3 {
			return fmt.Errorf("GTID %q is not domain-server-number", part)
		}
		domain, err1 := strconv.ParseUint(f[0], 10, 32)
		server, err2 := strconv.ParseUint(f[1], 10, 32)
		number, err3 := strconv.ParseUint(f[2], 10, 64)
		if err1 != nil || err2 != nil || err3 != nil {
			return fmt.Errorf("GTID %q is not domain-server-number", part)
		}
		if have, ok := s.domains[uint32(domain)]; !ok || number > have[1] {
			s.domains[uint32(domain)] = [2]uint64{server, number}
		}
	}
	return nil
}

func (s *Set) parseMySQL(text string) error {
	for part := range strings.SplitSeq(text, ",") {
		fields := strings.Split(strings.TrimSpace(part), ":")
		if fields[0] == "" {
			continue
		}
		uuid := strings.ToLower(fields[0])
		name := uuid
		for _, f := range fields[1:] {
			f = strings.TrimSpace(f)
			if f == "" {
				return fmt.Errorf("GTID set %q has an empty part", part)
			}
			if f[0] < '0' || f[0] > '9' {
				name = uuid + ":" + strings.ToLower(f)
				continue
			}
			a, b, dash := strings.Cut(f, "-")
			if !dash {
				b = a
			}
			first, err1 := strconv.ParseUint(a, 10, 63)
			last, err2 := strconv.ParseUint(b, 10, 63)
			if err1 != nil || err2 != nil || first == 0 || last < first {
				return fmt.Errorf("GTID set: %q is no interval", f)
			}
			s.addInterval(name, interval{first, last})
		}
	}
	return nil
}

// Add takes in one transaction.
func (s *Set) Add(g *GTID) {
	if s.maria {
		s.domains[g.Domain] = [2]uint64{uint64(g.Server), g.Number}
		return
	}
	for i := range s.sources {
		src := &s.sources[i]
		if src.name != g.Source {
			continue
		}
		if last := &src.intervals[len(src.intervals)-1]; g.Number == last.last+1 {
			last.last++ // the common case
			return
		}
	}
	s.addInterval(g.Source, interval{g.Number, g.Number})
}

func (s *Set) addInterval(name string, iv interval) {
	i, ok := slices.BinarySearchFunc(s.sources, name, func(a source, n string) int { return strings.Compare(a.name, n) })
	if !ok {
		s.sources = slices.Insert(s.sources, i, source{name: name})
	}
	src := &s.sources[i]
	all := append(slices.Clone(src.intervals), iv)
	slices.SortFunc(all, func(a, b interval) int {
		if a.first < b.first {
			return -1
		}
		return 1
	})
	merged := all[:1]
	for _, v := range all[1:] {
		if last := &merged[len(merged)-1]; v.first <= last.last+1 {
			last.last = max(last.last, v.last)
		} else {
			merged = append(merged, v)
		}
	}
	src.intervals = merged
}

// String is the server's text form.
func (s *Set) String() string {
	var stack [128]byte
	return string(s.AppendText(stack[:0]))
}

// AppendText appends the text form.
func (s *Set) AppendText(dst []byte) []byte {
	if s.maria {
		return s.appendMaria(dst)
	}
	uuid := ""
	for i := range s.sources {
		src := &s.sources[i]
		u, tag, tagged := strings.Cut(src.name, ":")
		if u != uuid {
			if uuid != "" {
				dst = append(dst, ',')
			}
			dst = append(dst, u...)
			uuid = u
		}
		if tagged {
			dst = append(append(dst, ':'), tag...)
		}
		for _, iv := range src.intervals {
			dst = append(dst, ':')
			dst = strconv.AppendUint(dst, iv.first, 10)
			if iv.last > iv.first {
				dst = append(dst, '-')
				dst = strconv.AppendUint(dst, iv.last, 10)
			}
		}
	}
	return dst
}

func (s *Set) appendMaria(dst []byte) []byte {
	var stack [8]uint32
	ids := stack[:0]
	for d := range s.domains {
		ids = append(ids, d)
	}
	slices.Sort(ids)
	for i, d := range ids {
		if i > 0 {
			dst = append(dst, ',')
		}
		v := s.domains[d]
		dst = strconv.AppendUint(dst, uint64(d), 10)
		dst = append(dst, '-')
		dst = strconv.AppendUint(dst, v[0], 10)
		dst = append(dst, '-')
		dst = strconv.AppendUint(dst, v[1], 10)
	}
	return dst
}

// Before is s without the transaction of a GTID: a server that is asked to go on behind it
// sends that transaction as well, or says that it cannot. MariaDB can only where the
// transaction before it in its domain is of the same server.
func (s *Set) Before(gtid string) (*Set, error) {
	out, err := ParseSet(s.maria, s.String())
	if err != nil {
		return nil, err
	}
	if s.maria {
		one, err := ParseSet(true, gtid)
		if err != nil || len(one.domains) != 1 {
			return nil, fmt.Errorf("GTID %q: %w", gtid, errors.Join(err, errOneGTID))
		}
		for d, v := range one.domains {
			out.domains[d] = [2]uint64{v[0], v[1] - 1}
			if v[1] <= 1 {
				delete(out.domains, d)
			}
		}
		return out, nil
	}
	i := strings.LastIndexByte(gtid, ':')
	n, err := strconv.ParseUint(gtid[i+1:], 10, 63)
	if i < 0 || err != nil {
		return nil, fmt.Errorf("GTID %q: %w", gtid, errors.Join(err, errOneGTID))
	}
	out.remove(strings.ToLower(gtid[:i]), n)
	return out, nil
}

// Reached reports whether a state of MariaDB's log, the last number of each domain and
// server, is at or behind a GTID.
func Reached(state, gtid string) bool {
	i := strings.LastIndexByte(gtid, '-')
	want, err := strconv.ParseUint(gtid[i+1:], 10, 64)
	if i < 0 || err != nil {
		return false
	}
	for part := range strings.SplitSeq(state, ",") {
		part = strings.TrimSpace(part)
		k := strings.LastIndexByte(part, '-')
		if k < 0 || part[:k] != gtid[:i] {
			continue
		}
		have, err := strconv.ParseUint(part[k+1:], 10, 64)
		return err == nil && have >= want
	}
	return false
}

var errOneGTID = errors.New("it is not the name of one transaction")

// remove takes one number out of a source of MySQL's.
func (s *Set) remove(name string, n uint64) {
	i := slices.IndexFunc(s.sources, func(x source) bool { return x.name == name })
	if i < 0 {
		return
	}
	src := &s.sources[i]
	var left []interval
	for _, iv := range src.intervals {
		if n < iv.first || n > iv.last {
			left = append(left, iv)
			continue
		}
		if iv.first < n {
			left = append(left, interval{iv.first, n - 1})
		}
		if n < iv.last {
			left = append(left, interval{n + 1, iv.last})
		}
	}
	if src.intervals = left; len(left) == 0 {
		s.sources = slices.Delete(s.sources, i, i+1)
	}
}

// Empty reports whether nothing was executed.
func (s *Set) Empty() bool { return len(s.sources) == 0 && len(s.domains) == 0 }

// Has reports whether g was executed. On MariaDB the order within a domain decides.
func (s *Set) Has(g *GTID) bool {
	if s.maria {
		v, ok := s.domains[g.Domain]
		return ok && g.Number <= v[1]
	}
	for i := range s.sources {
		if s.sources[i].name == g.Source {
			return covers(s.sources[i].intervals, interval{g.Number, g.Number})
		}
	}
	return false
}

// Contains reports whether everything in o was executed here.
func (s *Set) Contains(o *Set) bool {
	for d, v := range o.domains {
		if have, ok := s.domains[d]; !ok || have[1] < v[1] {
			return false
		}
	}
	for i := range o.sources {
		k := slices.IndexFunc(s.sources, func(a source) bool { return a.name == o.sources[i].name })
		if k < 0 {
			return false
		}
		for _, iv := range o.sources[i].intervals {
			if !covers(s.sources[k].intervals, iv) {
				return false
			}
		}
	}
	return true
}

func covers(have []interval, iv interval) bool {
	for _, h := range have {
		if h.first <= iv.first && iv.last <= h.last {
			return true
		}
	}
	return false
}

// encode is the set as COM_BINLOG_DUMP_GTID wants it.
func (s *Set) encode() ([]byte, error) {
	set, err := mysql.ParseMysqlGTIDSet(s.String())
	if err != nil {
		return nil, fmt.Errorf("GTID set %q: %w", s, err)
	}
	return set.Encode(), nil
}
