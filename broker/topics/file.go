package topics

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting/protocol"
)

var errUnchanged = errors.New("nothing to change")

type fileForm struct {
	DataVersion      protocol.DataVersion `json:"dataVersion"`
	TopicConfigTable map[string]*Config   `json:"topicConfigTable"`
}

// edit makes the next version of the table, makes it durable and publishes it.
func (r *Registry) edit(change func(*table) error) (changed bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.now.Load()
	next := &table{topics: maps.Clone(old.topics), queues: old.queues, version: old.version}
	if err := change(next); err != nil {
		if errors.Is(err, errUnchanged) {
			return false, nil
		}
		return false, err
	}
	next.version.Counter++
	next.version.Timestamp = r.opts.Now().UnixMilli()
	data, err := json.MarshalIndent(fileForm{DataVersion: next.version, TopicConfigTable: next.topics}, "", "\t")
	if err == nil {
		err = vfs.ReplaceFile(r.opts.FS, r.opts.File, data)
	}
	if err != nil {
		return false, fmt.Errorf("write topics %s: %w", r.opts.File, err)
	}
	r.now.Store(next)
	r.listenersMu.Lock()
	listeners := r.listeners
	r.listenersMu.Unlock()
	for _, fn := range listeners {
		fn()
	}
	return true, nil
}

func load(fsys vfs.FS, name string, log *slog.Logger) (*table, error) {
	data, err := vfs.ReadFile(fsys, name)
	if err == nil {
		t, derr := decode(data)
		if derr == nil {
			return t, nil
		}
		err = derr
	}
	missing := errors.Is(err, fs.ErrNotExist)
	backup, berr := vfs.ReadFile(fsys, name+vfs.BackupSuffix)
	if missing && errors.Is(berr, fs.ErrNotExist) {
		return &table{topics: map[string]*Config{}}, nil
	}
	if berr == nil {
		t, derr := decode(backup)
		if derr == nil {
			log.Warn("topics read from the backup", slog.String("file", name), slog.Any("cause", err))
			return t, nil
		}
		berr = derr
	}
	return nil, fmt.Errorf("read topics %s: %w (its backup: %w); restore one of the two files", name, err, berr)
}

func decode(data []byte) (*table, error) {
	var form fileForm
	if err := protocol.DecodeBody(data, &form); err != nil {
		return nil, err
	}
	t := &table{topics: make(map[string]*Config, len(form.TopicConfigTable)), version: form.DataVersion}
	for name, c := range form.TopicConfigTable {
		if c == nil || c.TopicName != "" && c.TopicName != name {
			return nil, fmt.Errorf("topic %q has no configuration or another name", name)
		}
		c.TopicName = name
		if err := message.CheckTopic(name); err != nil {
			return nil, fmt.Errorf("topic %q: %w", name, err)
		}
		if c.ReadQueueNums < 0 || c.WriteQueueNums < 0 {
			return nil, fmt.Errorf("topic %q has %d and %d queues", name, c.ReadQueueNums, c.WriteQueueNums)
		}
		t.topics[name] = c
	}
	return t, nil
}
