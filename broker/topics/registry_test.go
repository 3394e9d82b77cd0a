package topics

import (
	"errors"
	"log/slog"
	"maps"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/vfs"
)

var quiet = slog.New(slog.DiscardHandler)

func options(t *testing.T) Options {
	return Options{
		FS: vfs.OS(), File: path.Join(t.TempDir(), "topics.json"), AutoCreate: true, DefaultQueues: 8,
		Cluster: "c", Broker: "b", Limits: Limits{Topics: 20, QueuesTopic: 64, QueuesTotal: 2000},
		Now: func() time.Time { return time.Unix(1700000000, 0) }, Log: quiet,
	}
}

func open(t *testing.T, o Options) *Registry {
	t.Helper()
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func orders(queues int32) Config {
	return Config{TopicName: "orders", ReadQueueNums: queues, WriteQueueNums: queues, Perm: 6}
}

func TestPutSurvivesARestart(t *testing.T) {
	o := options(t)
	r := open(t, o)
	calls := 0
	r.OnChange(func() { calls++ })
	c := orders(4)
	c.Attributes = map[string]string{WriterAttribute: "shop"}
	for _, want := range []bool{true, false} {
		if changed, err := r.Put(c); changed != want || err != nil {
			t.Fatalf("changed %v, %v", changed, err)
		}
	}
	again := open(t, o)
	got, ok := again.Get("orders")
	if !ok || got.Queues() != 4 || got.Writer() != "shop" || again.Version() != r.Version() || calls != 1 {
		t.Fatalf("read back %+v, version %+v, %d calls", got, again.Version(), calls)
	}
	if existed, err := again.Delete("orders", false); existed || !errors.Is(err, ErrOwned) || !strings.Contains(err.Error(), "shop") {
		t.Fatal(existed, err)
	}
	if existed, err := again.Delete("orders", true); !existed || err != nil {
		t.Fatal(existed, err)
	}
	if existed, err := again.Delete("orders", true); existed || err != nil {
		t.Fatal(existed, err)
	}
	if _, ok := open(t, o).Get("orders"); ok {
		t.Fatal("a deleted topic came back")
	}
}

func TestRefusals(t *testing.T) {
	r := open(t, options(t))
	owned := orders(4)
	owned.TopicName, owned.Attributes = "owned", map[string]string{WriterAttribute: "shop"}
	if _, err := r.Put(owned); err != nil {
		t.Fatal(err)
	}
	with := func(change func(*Config)) Config {
		c := orders(4)
		change(&c)
		return c
	}
	for name, c := range map[string]struct {
		config Config
		want   error
	}{
		"path":          {with(func(c *Config) { c.TopicName = "../etc" }), ErrName},
		"empty":         {with(func(c *Config) { c.TopicName = "" }), ErrName},
		"slash":         {with(func(c *Config) { c.TopicName = "a/b" }), ErrName},
		"system":        {with(func(c *Config) { c.TopicName = "TBW102" }), ErrSystem},
		"the broker's":  {with(func(c *Config) { c.TopicName = "b" }), ErrSystem},
		"no queues":     {orders(0), ErrInvalid},
		"negative":      {with(func(c *Config) { c.ReadQueueNums = -1 }), ErrInvalid},
		"65 queues":     {orders(65), ErrInvalid},
		"perm":          {with(func(c *Config) { c.Perm = 8 }), ErrInvalid},
		"writer's name": {with(func(c *Config) { c.Attributes = map[string]string{WriterAttribute: "a b"} }), ErrInvalid},
		"compaction":    {with(func(c *Config) { c.Attributes = map[string]string{"cleanup.policy": "COMPACTION"} }), ErrInvalid},
		"batch queues":  {with(func(c *Config) { c.Attributes = map[string]string{"queue.type": "BatchCQ"} }), ErrInvalid},
		"owner removed": {with(func(c *Config) { c.TopicName = "owned" }), ErrOwned},
		"fewer, owned":  {with(func(c *Config) { *c = owned; c.ReadQueueNums, c.WriteQueueNums = 2, 2 }), ErrOwned},
		"other ownership": {with(func(c *Config) {
			*c = owned
			c.Attributes = map[string]string{WriterAttribute: "other"}
		}), ErrOwned},
	} {
		if _, err := r.Put(c.config); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, err := r.Delete("TBW102", true); !errors.Is(err, ErrSystem) {
		t.Errorf("delete TBW102: %v", err)
	}
}

func TestRoomIsBounded(t *testing.T) {
	o := options(t)
	o.Limits.Topics = len(open(t, o).now.Load().topics) + 1
	r := open(t, o)
	if _, err := r.Put(orders(1)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.EnsureSend("more", "TBW102", 4); !errors.Is(err, ErrTooMany) {
		t.Fatalf("one topic too many: %v", err)
	}
	o.Limits.QueuesTotal = r.now.Load().queues + 3
	r = open(t, o)
	if _, err := r.Put(orders(5)); !errors.Is(err, ErrTooMany) {
		t.Fatalf("too many queues: %v", err)
	}
	if _, err := r.Put(orders(4)); err != nil {
		t.Fatal(err)
	}
}

func TestAutoCreation(t *testing.T) {
	r := open(t, options(t))
	for _, c := range []struct {
		topic, from string
		asked       int32
		queues      int32
		want        error
	}{
		{"four", "TBW102", 4, 4, nil},
		{"four", "TBW102", 8, 4, nil},
		{"hundred", "TBW102", 100, 8, nil},
		{"none", "TBW102", 0, 1, nil},
		{"%RETRY%g", "TBW102", 4, 1, nil},
		{"orphan", "nothing", 4, 0, ErrUnknown},
		{"heir", "four", 4, 0, ErrUnknown},
		{"../etc", "TBW102", 4, 0, ErrName},
	} {
		got, _, err := r.EnsureSend(c.topic, c.from, c.asked)
		if !errors.Is(err, c.want) || err == nil && (got.WriteQueueNums != c.queues || got.Perm != 6) {
			t.Errorf("%s from %s: %+v, %v", c.topic, c.from, got, err)
		}
	}
	o := options(t)
	o.AutoCreate = false
	if _, _, err := open(t, o).EnsureSend("four", "TBW102", 4); !errors.Is(err, ErrUnknown) {
		t.Errorf("switched off: %v", err)
	}
}

func TestRacingCreatorsAgree(t *testing.T) {
	r := open(t, options(t))
	var wg sync.WaitGroup
	for n := range int32(8) {
		wg.Go(func() {
			if _, _, err := r.EnsureSend("raced", "TBW102", n+1); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if v := r.Version(); v.Counter != 1 {
		t.Fatalf("%d versions were written", v.Counter)
	}
}

func TestAttributes(t *testing.T) {
	old := map[string]string{"a": "1", "b": "2"}
	for _, c := range []struct {
		change string
		want   map[string]string
		err    error
	}{
		{"", old, nil},
		{"+a=3", map[string]string{"a": "3", "b": "2"}, nil},
		{"-a, +c=x=y", map[string]string{"b": "2", "c": "x=y"}, nil},
		{"a=3", nil, ErrInvalid},
		{"+a", nil, ErrInvalid},
		{"-a=1", nil, ErrInvalid},
		{"+=1", nil, ErrInvalid},
		{"+", nil, ErrInvalid},
	} {
		got, err := ChangeAttributes(old, c.change)
		if !errors.Is(err, c.err) || err == nil && !maps.Equal(got, c.want) {
			t.Errorf("%q: %v, %v", c.change, got, err)
		}
	}
}

func TestDamagedFile(t *testing.T) {
	o := options(t)
	r := open(t, o)
	for _, n := range []int32{2, 3} {
		if _, err := r.Put(orders(n)); err != nil {
			t.Fatal(err)
		}
	}
	for _, damage := range []string{`{`, `{"topicConfigTable":{"../x":{}}}`, `{"topicConfigTable":{"a":null}}`} {
		if err := vfs.WriteFileAtomic(o.FS, o.File, []byte(damage)); err != nil {
			t.Fatal(err)
		}
		if c, ok := open(t, o).Get("orders"); !ok || c.Queues() != 2 {
			t.Fatalf("%s: from the backup %+v", damage, c)
		}
	}
	if err := vfs.WriteFileAtomic(o.FS, o.File+vfs.BackupSuffix, []byte(`{`)); err != nil {
		t.Fatal(err)
	}
	if _, err := New(o); err == nil {
		t.Fatal("two damaged files are an empty table")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"topicConfigTable":{"a":{"topicName":"a","readQueueNums":4,"attributes":{}}},"dataVersion":{"counter":3}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if table, err := decode(data); err == nil {
			for name, c := range table.topics {
				if c.TopicName != name || c.Queues() < 0 {
					t.Fatalf("%q: %+v", name, c)
				}
			}
		}
	})
}
