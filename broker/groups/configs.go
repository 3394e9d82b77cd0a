package groups

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting/protocol"
)

// Config is how a consumer group is configured. What we do not use is kept as it was
// read, so that a file of RocketMQ's loses nothing.
type Config struct {
	GroupName                      string            `json:"groupName"`
	ConsumeEnable                  bool              `json:"consumeEnable"`
	ConsumeFromMinEnable           bool              `json:"consumeFromMinEnable"`
	ConsumeBroadcastEnable         bool              `json:"consumeBroadcastEnable"`
	ConsumeMessageOrderly          bool              `json:"consumeMessageOrderly"`
	RetryQueueNums                 int32             `json:"retryQueueNums"`
	RetryMaxTimes                  int32             `json:"retryMaxTimes"`
	GroupRetryPolicy               json.RawMessage   `json:"groupRetryPolicy,omitempty"`
	BrokerID                       int64             `json:"brokerId"`
	WhichBrokerWhenConsumeSlowly   int64             `json:"whichBrokerWhenConsumeSlowly"`
	NotifyConsumerIDsChangedEnable bool              `json:"notifyConsumerIdsChangedEnable"`
	GroupSysFlag                   int32             `json:"groupSysFlag"`
	ConsumeTimeoutMinute           int32             `json:"consumeTimeoutMinute"`
	SubscriptionDataSet            json.RawMessage   `json:"subscriptionDataSet,omitempty"`
	Attributes                     map[string]string `json:"attributes,omitempty"`
}

// DefaultConfig is what a group gets that nobody configured.
func DefaultConfig(group string) Config {
	return Config{
		GroupName: group, ConsumeEnable: true, ConsumeFromMinEnable: true, ConsumeBroadcastEnable: true,
		RetryQueueNums: 1, RetryMaxTimes: 16, WhichBrokerWhenConsumeSlowly: 1,
		NotifyConsumerIDsChangedEnable: true, ConsumeTimeoutMinute: 15,
	}
}

// UnmarshalJSON gives keys that are missing their defaults.
func (c *Config) UnmarshalJSON(data []byte) error {
	type plain Config
	p := plain(DefaultConfig(""))
	if err := json.Unmarshal(data, &p); err != nil {
		return err
	}
	*c = Config(p)
	return nil
}

// ConfigsForm is subscriptionGroup.json, which code 201 answers with as well.
type ConfigsForm struct {
	DataVersion            protocol.DataVersion      `json:"dataVersion"`
	ForbiddenTable         map[string]map[string]int `json:"forbiddenTable"`
	SubscriptionGroupTable map[string]*Config        `json:"subscriptionGroupTable"`
}

// Configs is the table of configured groups. It is safe for concurrent use.
type Configs struct {
	fsys  vfs.FS
	file  string
	limit int
	now   func() time.Time

	mu   sync.RWMutex
	form ConfigsForm
}

// NewConfigs reads the file, or the version before it when the file is damaged; a
// missing file is an empty table. limit bounds the number of groups.
func NewConfigs(fsys vfs.FS, file string, limit int, now func() time.Time, log *slog.Logger) (*Configs, error) {
	c := &Configs{fsys: fsys, file: file, limit: limit, now: now}
	err := c.read(file)
	if err == nil {
		return c, nil
	}
	missing := errors.Is(err, fs.ErrNotExist)
	berr := c.read(file + vfs.BackupSuffix)
	switch {
	case berr == nil:
		log.Warn("consumer groups read from the backup", slog.String("file", file), slog.Any("cause", err))
	case missing && errors.Is(berr, fs.ErrNotExist):
		c.form = ConfigsForm{ForbiddenTable: map[string]map[string]int{}, SubscriptionGroupTable: map[string]*Config{}}
	default:
		return nil, fmt.Errorf("read consumer groups %s: %w (its backup: %w); restore one of the two files", file, err, berr)
	}
	return c, nil
}

func (c *Configs) read(name string) error {
	data, err := vfs.ReadFile(c.fsys, name)
	if err != nil {
		return err
	}
	return c.decode(data)
}

func (c *Configs) decode(data []byte) error {
	form := ConfigsForm{ForbiddenTable: map[string]map[string]int{}, SubscriptionGroupTable: map[string]*Config{}}
	if err := protocol.DecodeBody(data, &form); err != nil {
		return err
	}
	for name, g := range form.SubscriptionGroupTable {
		if g == nil {
			return fmt.Errorf("group %q has no configuration", name)
		}
		g.GroupName = name
	}
	c.form = form
	return nil
}

// Get returns a group's configuration; it is shared and must not be changed.
func (c *Configs) Get(group string) (*Config, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	g, ok := c.form.SubscriptionGroupTable[group]
	return g, ok
}

// Len is the number of groups.
func (c *Configs) Len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.form.SubscriptionGroupTable)
}

// Names lists the groups, sorted.
func (c *Configs) Names() []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Sorted(maps.Keys(c.form.SubscriptionGroupTable))
}

// Encode is the table as its file holds it.
func (c *Configs) Encode() ([]byte, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return json.Marshal(c.form)
}

// Ensure returns the configuration of a group, entering the default one, durably, for a
// group that has none.
func (c *Configs) Ensure(group string) (*Config, error) {
	if g, ok := c.Get(group); ok {
		return g, nil
	}
	d := DefaultConfig(group)
	if err := c.put(&d, false); err != nil {
		return nil, err
	}
	g, _ := c.Get(group)
	return g, nil
}

// Put enters or replaces a group's configuration, durably.
func (c *Configs) Put(g Config) error { return c.put(&g, true) }

func (c *Configs) put(g *Config, replace bool) error {
	if err := message.CheckGroup(g.GroupName); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.form.SubscriptionGroupTable
	if _, known := old[g.GroupName]; known && !replace {
		return nil
	} else if !known && len(old) >= c.limit {
		return fmt.Errorf("group %s: %w (%d)", g.GroupName, ErrTooMany, c.limit)
	}
	next := c.form
	next.SubscriptionGroupTable = maps.Clone(old)
	next.SubscriptionGroupTable[g.GroupName] = g
	next.DataVersion.Counter++
	next.DataVersion.Timestamp = c.now().UnixMilli()
	data, err := json.MarshalIndent(next, "", "\t")
	if err == nil {
		err = vfs.ReplaceFile(c.fsys, c.file, data)
	}
	if err != nil {
		return fmt.Errorf("write consumer groups %s: %w", c.file, err)
	}
	c.form = next
	return nil
}
