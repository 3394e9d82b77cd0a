package namesrv

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"sync"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
	"github.com/millrace/millrace/remoting/rpc"
)

// Bounds of what clients can put.
const (
	maxKVEntries = 10_000
	maxKVLen     = 64 << 10
)

// kvConfig is a small table of settings by namespace, kept in RocketMQ's kvConfig.json.
type kvConfig struct {
	fsys vfs.FS
	file string // empty: in memory only

	mu      sync.Mutex
	table   map[string]map[string]string
	entries int
}

type kvForm struct {
	ConfigTable map[string]map[string]string `json:"configTable"`
}

func openKV(fsys vfs.FS, file string) (*kvConfig, error) {
	kv := &kvConfig{fsys: fsys, file: file, table: map[string]map[string]string{}}
	if file == "" {
		return kv, nil
	}
	if err := fsys.MkdirAll(path.Dir(file), 0o755); err != nil {
		return nil, fmt.Errorf("name server settings: %w", err)
	}
	data, err := vfs.ReadFile(fsys, file)
	if errors.Is(err, fs.ErrNotExist) {
		return kv, nil
	}
	if err == nil {
		var form kvForm
		if err = protocol.DecodeBody(data, &form); err == nil && form.ConfigTable != nil {
			kv.table = form.ConfigTable
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read name server settings %s: %w; restore it from %s%s or move it away", file, err, file, vfs.BackupSuffix)
	}
	for _, values := range kv.table {
		kv.entries += len(values)
	}
	return kv, nil
}

// edit changes a copy of one namespace, makes it durable and publishes it.
func (kv *kvConfig) edit(namespace string, change func(map[string]string) error) error {
	kv.mu.Lock()
	defer kv.mu.Unlock()
	next := maps.Clone(kv.table)
	values := maps.Clone(next[namespace])
	if values == nil {
		values = map[string]string{}
	}
	if err := change(values); err != nil {
		return err
	}
	if next[namespace] = values; len(values) == 0 {
		delete(next, namespace)
	}
	if kv.file != "" {
		data, err := json.MarshalIndent(kvForm{next}, "", "\t")
		if err == nil {
			err = vfs.ReplaceFile(kv.fsys, kv.file, data)
		}
		if err != nil {
			return fmt.Errorf("write name server settings %s: %w", kv.file, err)
		}
	}
	kv.entries += len(values) - len(kv.table[namespace])
	kv.table = next
	return nil
}

func (kv *kvConfig) put(namespace, key, value string) error {
	if key == "" || len(namespace)+len(key)+len(value) > maxKVLen {
		return protocol.Errorf(protocol.InvalidParameter, "a setting needs a key and has at most %d bytes", maxKVLen)
	}
	return kv.edit(namespace, func(values map[string]string) error {
		if _, known := values[key]; !known && kv.entries >= maxKVEntries {
			return protocol.Errorf(protocol.InvalidParameter, "there are %d settings already", maxKVEntries)
		}
		values[key] = value
		return nil
	})
}

func (kv *kvConfig) get(namespace, key string) (string, bool) {
	kv.mu.Lock()
	defer kv.mu.Unlock()
	v, ok := kv.table[namespace][key]
	return v, ok
}

func (kv *kvConfig) list(namespace string) map[string]string {
	kv.mu.Lock()
	defer kv.mu.Unlock()
	return maps.Clone(kv.table[namespace])
}

func (s *Server) putKV(x *rpc.Exchange) (*remoting.Command, error) {
	var h protocol.KVConfigHeader
	if err := header(x, &h); err != nil {
		return nil, err
	}
	if err := s.kv.put(h.Namespace, h.Key, h.Value); err != nil {
		return nil, err
	}
	return answer(nil)
}

func (s *Server) getKV(x *rpc.Exchange) (*remoting.Command, error) {
	var h protocol.KVConfigHeader
	if err := header(x, &h); err != nil {
		return nil, err
	}
	value, ok := s.kv.get(h.Namespace, h.Key)
	if !ok {
		return nil, protocol.Errorf(protocol.QueryNotFound, "No config item, Namespace: %.100s Key: %.100s", h.Namespace, h.Key)
	}
	ans, err := answer(nil)
	(&protocol.KVConfigResponseHeader{Value: value}).Encode(ans)
	return ans, err
}

func (s *Server) deleteKV(x *rpc.Exchange) (*remoting.Command, error) {
	var h protocol.KVConfigHeader
	if err := header(x, &h); err != nil {
		return nil, err
	}
	err := s.kv.edit(h.Namespace, func(values map[string]string) error {
		delete(values, h.Key)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return answer(nil)
}

func (s *Server) listKV(x *rpc.Exchange) (*remoting.Command, error) {
	var h protocol.KVConfigHeader
	if err := header(x, &h); err != nil {
		return nil, err
	}
	values := s.kv.list(h.Namespace)
	if values == nil {
		return nil, protocol.Errorf(protocol.QueryNotFound, "No config item, Namespace: %.100s", h.Namespace)
	}
	return answer(&protocol.KVTable{Table: values})
}
