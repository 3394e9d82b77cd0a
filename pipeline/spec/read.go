package spec

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/millrace/millrace/internal/config"
)

// file is the form of a pipeline file; components stay nodes until their type is known.
type file struct {
	Version     int              `yaml:"version"`
	Name        string           `yaml:"name"`
	Source      yaml.Node        `yaml:"source"`
	Queues      int              `yaml:"queues"`
	Tables      map[string]Table `yaml:"tables"`
	HashSalt    string           `yaml:"hash_salt"`
	Delivery    string           `yaml:"delivery"`
	Group       Group            `yaml:"group"`
	Sinks       []yaml.Node      `yaml:"sinks"`
	OnError     string           `yaml:"on_error"`
	DeadLetter  DeadLetter       `yaml:"dead_letter"`
	OnDropTable string           `yaml:"on_drop_table"`
	Verify      Verify           `yaml:"verify"`
}

var (
	pipelineName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)
	tableName    = regexp.MustCompile(`^[^.]+\.[^.]+$`)
)

const (
	maxQueues     = 1024
	maxVerifyRows = 100_000_000
	maxLetters    = 1_000_000
	maxLetterSize = 1 << 30
	leastVerify   = time.Second
)

// ReadFile reads and checks one pipeline file. The error is a config.Issues when the
// file has mistakes: all of them.
func ReadFile(path string, kinds Kinds, env config.Env) (*Pipeline, error) {
	doc, err := config.ReadFile(path, env)
	if err != nil {
		return nil, err
	}
	return read(doc, kinds)
}

// Parse is ReadFile for bytes.
func Parse(name string, data []byte, kinds Kinds, env config.Env) (*Pipeline, error) {
	doc, err := config.Parse(name, data, env)
	if err != nil {
		return nil, err
	}
	return read(doc, kinds)
}

// ReadDir reads every *.yaml and *.yml of a directory, in the order of names. Files with
// mistakes do not hide the others: the pipelines that are right are returned beside the
// errors. A name used by two files is a mistake of the second. The error of a file is a
// config.Issues even where it could not be read.
func ReadDir(dir string, kinds Kinds, env config.Env) ([]*Pipeline, []error) {
	paths, errs := Files(dir)
	var (
		pipelines []*Pipeline
		owner     = map[string]string{}
	)
	for _, path := range paths {
		p, err := ReadFile(path, kinds, env)
		var issues config.Issues
		if err != nil && !errors.As(err, &issues) {
			err = config.Issues{{File: path, Text: err.Error()}}
		}
		if err == nil && owner[p.Name] != "" {
			err = config.Issues{{File: p.File, Path: "name", Text: fmt.Sprintf("the pipeline %q is already declared in %s", p.Name, owner[p.Name])}}
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		owner[p.Name] = p.File
		pipelines = append(pipelines, p)
	}
	return pipelines, errs
}

// Files are the paths of the pipeline files of a directory, in the order of names. What has
// the name of one and is no file is an error and is not opened: reading a pipe waits for
// whoever writes it, and all other files would wait with it.
func Files(dir string) (paths []string, errs []error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, []error{fmt.Errorf("read pipelines: %w", err)}
	}
	for _, entry := range entries {
		ext, path := filepath.Ext(entry.Name()), filepath.Join(dir, entry.Name())
		if entry.IsDir() || ext != ".yaml" && ext != ".yml" {
			continue
		}
		info, err := os.Stat(path)
		if err == nil && !info.Mode().IsRegular() {
			err = fmt.Errorf("%s is no file (%s); take it away, or give it another name", path, info.Mode().Type())
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("read pipelines: %w", err))
			continue
		}
		paths = append(paths, path)
	}
	return paths, errs
}

func read(doc *config.Document, kinds Kinds) (*Pipeline, error) {
	f := file{Queues: 4, Delivery: "transactional", Group: DefaultGroup(), OnError: PauseTable, DeadLetter: DefaultDeadLetter(),
		OnDropTable: "keep", Verify: DefaultVerify()}
	doc.Decode(doc.Root, "", &f)
	r := reader{doc: doc, kinds: kinds}
	p := &Pipeline{
		File: doc.File, Name: f.Name, Queues: f.Queues, Tables: f.Tables, HashSalt: f.HashSalt, Delivery: f.Delivery,
		Group: f.Group, OnError: f.OnError, DeadLetter: f.DeadLetter, OnDropTable: f.OnDropTable, Verify: f.Verify,
	}
	r.top(&f)
	p.Source = r.component(config.Child(doc.Root, "source"), "source", kinds.Sources, nil)
	r.sinks(p)
	r.collisions(p)
	if err := doc.Issues.Err(); err != nil {
		return nil, err
	}
	return p, nil
}

type reader struct {
	doc   *config.Document
	kinds Kinds
}

func (r *reader) issue(n *yaml.Node, path, text, suggestion string) {
	r.doc.Issues = append(r.doc.Issues, config.At(r.doc.File, n, path, text, suggestion))
}

// at is the node of a top-level key, or the whole file when it is missing.
func (r *reader) at(key string) *yaml.Node {
	if n := config.Child(r.doc.Root, key); n != nil {
		return n
	}
	return r.doc.Root
}

func (r *reader) top(f *file) {
	if f.Version != 1 {
		r.issue(r.at("version"), "version", "must be 1", "write version: 1 as the first line")
	}
	if !pipelineName.MatchString(f.Name) {
		r.issue(r.at("name"), "name", fmt.Sprintf("%q is not a pipeline name", f.Name),
			"use a-z, 0-9 and _, beginning with a letter, 32 characters at most")
	}
	if f.Queues < 1 || f.Queues > maxQueues {
		r.issue(r.at("queues"), "queues", fmt.Sprintf("must be from 1 to %d", maxQueues), "")
	}
	r.oneOf("delivery", f.Delivery, "transactional")
	r.oneOf("on_error", f.OnError, PauseTable, PutAside)
	r.deadLetter(f)
	r.oneOf("on_drop_table", f.OnDropTable, "keep")
	if f.Group.Bytes < 64<<10 || f.Group.Bytes > 64<<20 {
		r.issue(r.at("group"), "group.bytes", "must be from 64KiB to 64MiB", "")
	}
	if f.Group.Interval.D() <= 0 {
		r.issue(r.at("group"), "group.interval", "must be above zero", "")
	}
	if v := f.Verify; v.RowsPerSecond < 1 || v.RowsPerSecond > maxVerifyRows {
		r.issue(r.at("verify"), "verify.rows_per_second", fmt.Sprintf("must be from 1 to %d", maxVerifyRows), "")
	}
	if e := time.Duration(f.Verify.Every); e != 0 && e < leastVerify {
		r.issue(r.at("verify"), "verify.every", fmt.Sprintf("must be at least %s, or off", leastVerify), "")
	}
	names := make([]string, 0, len(f.Tables))
	for name := range f.Tables {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		n := config.Child(r.at("tables"), name)
		if !tableName.MatchString(name) {
			r.issue(n, "tables."+name, "must be named database.table", "")
		}
		if q := f.Tables[name].Queues; q < 0 || q > maxQueues {
			r.issue(n, "tables."+name+".queues", fmt.Sprintf("must be from 1 to %d", maxQueues), "")
		}
		r.columns(f, name, config.Child(n, "columns"))
		if at := config.Child(n, "where"); at != nil && at.Tag == "!!null" {
			r.issue(at, "tables."+name+".where", "says nothing", "write a condition, such as region = 7, or take the line away")
		}
	}
	r.sameTable(names)
}

// The values of on_error.
const (
	PauseTable = "pause_table"
	PutAside   = "dead_letter"
)

// deadLetter checks the bounds of what is put aside.
func (r *reader) deadLetter(f *file) {
	at := config.Child(r.doc.Root, "dead_letter")
	switch d := f.DeadLetter; {
	case at == nil:
	case f.OnError != PutAside && d == DefaultDeadLetter():
	case f.OnError != PutAside:
		r.issue(at, "dead_letter", "is without effect here", "add on_error: "+PutAside+", or take it away")
	case d.Rows < 1 || d.Rows > maxLetters:
		r.issue(at, "dead_letter.rows", fmt.Sprintf("must be from 1 to %d", maxLetters), "")
	case d.Bytes < 1 || d.Bytes > maxLetterSize:
		r.issue(at, "dead_letter.bytes", "must be above zero and at most 1GiB", "")
	}
}

// later are values that the form has and this version does not carry out yet.
var later = map[string]string{"direct": "delivery", "drop": "on_drop_table"}

func (r *reader) oneOf(key, value string, allowed ...string) {
	for _, a := range allowed {
		if value == a {
			return
		}
	}
	if later[value] == key {
		r.issue(r.at(key), key, fmt.Sprintf("%q is not supported yet", value), "use "+strings.Join(allowed, " or "))
		return
	}
	hint := config.Suggest(value, allowed)
	if hint == "" {
		hint = "use " + strings.Join(allowed, " or ")
	}
	r.issue(r.at(key), key, fmt.Sprintf("%q is not one of its values", value), hint)
}

func (r *reader) sinks(p *Pipeline) {
	list := config.Child(r.doc.Root, "sinks")
	if list == nil || len(list.Content) == 0 {
		r.issue(r.at("sinks"), "sinks", "a pipeline needs at least one sink", "")
		return
	}
	seen := map[string]bool{}
	for i, n := range list.Content {
		path := fmt.Sprintf("sinks[%d]", i)
		s := Sink{Flush: DefaultFlush()}
		head := struct {
			Name  string `yaml:"name"`
			Flush Flush  `yaml:"flush"`
		}{Flush: s.Flush}
		s.Component = r.component(n, path, r.kinds.Sinks, &head)
		s.Name, s.Flush = head.Name, head.Flush
		if !pipelineName.MatchString(s.Name) {
			r.issue(n, path+".name", fmt.Sprintf("%q is not a sink name", s.Name),
				"use a-z, 0-9 and _, beginning with a letter, 32 characters at most")
		}
		if seen[s.Name] {
			r.issue(n, path+".name", fmt.Sprintf("the name %q stands twice", s.Name), "")
		}
		r.flush(n, path+".flush", s)
		seen[s.Name] = true
		p.Sinks = append(p.Sinks, s)
	}
}

// flush checks what a sink holds before it makes it visible.
func (r *reader) flush(n *yaml.Node, path string, s Sink) {
	if at := config.Child(n, "flush"); at != nil {
		n = at
	}
	if s.Flush.Rows < 1 || s.Flush.Bytes < 1 || s.Flush.Interval.D() <= 0 {
		r.issue(n, path, "rows, bytes and interval must be above zero", "")
	}
	most := r.kinds.Sinks[s.Type].MostFlush
	if most.Rows > 0 && s.Flush.Rows > most.Rows {
		r.issue(n, path+".rows", fmt.Sprintf("must be at most %d for a sink of type %s", most.Rows, s.Type), "")
	}
	if most.Bytes > 0 && s.Flush.Bytes > most.Bytes {
		r.issue(n, path+".bytes", fmt.Sprintf("must be at most %s for a sink of type %s", most.Bytes, s.Type), "")
	}
}

// component decodes a node whose "type" chooses its kind. The keys that every component
// of its list has (type, and those of head) are taken out before the kind's own struct
// sees the rest.
func (r *reader) component(n *yaml.Node, path string, kinds map[string]Kind, head any) Component {
	if n == nil {
		r.issue(r.doc.Root, path, "is missing", "")
		return Component{}
	}
	if n.Kind != yaml.MappingNode {
		r.issue(n, path, "must be a mapping of keys to values", "")
		return Component{}
	}
	shared, own := split(n, head)
	if head != nil {
		r.doc.Decode(shared, path, head)
	}
	names := make([]string, 0, len(kinds))
	for name := range kinds {
		names = append(names, name)
	}
	sort.Strings(names)
	typeNode := config.Child(n, "type")
	if typeNode == nil {
		r.issue(n, path+".type", "is missing", "known types: "+strings.Join(names, ", "))
		return Component{}
	}
	kind, ok := kinds[typeNode.Value]
	if !ok {
		hint := config.Suggest(typeNode.Value, names)
		if hint == "" {
			hint = "known types: " + strings.Join(names, ", ")
		}
		r.issue(typeNode, path+".type", fmt.Sprintf("there is no type %q", typeNode.Value), hint)
		return Component{}
	}
	cfg := kind.Default()
	before := len(r.doc.Issues)
	r.doc.Decode(own, path, cfg)
	if len(r.doc.Issues) == before && kind.Check != nil {
		for _, f := range kind.Check(cfg) {
			r.finding(n, path, f)
		}
	}
	return Component{Type: typeNode.Value, Config: cfg}
}

func (r *reader) finding(n *yaml.Node, path string, f Finding) {
	at := n
	for _, key := range strings.Split(f.Key, ".") {
		if child := config.Child(at, key); child != nil {
			at = child
		}
	}
	if f.Key != "" {
		path += "." + f.Key
	}
	r.issue(at, path, f.Text, f.Suggestion)
}
