package main

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/millrace/millrace/broker"
	"github.com/millrace/millrace/internal/config"
)

// keysOf are the keys that a configuration has. Those of the parts of standalone are shown in
// the parts' own files.
func keysOf(t reflect.Type) (keys []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case options == "inline" || f.Anonymous:
			keys = append(keys, keysOf(f.Type)...)
		case name == "":
		default:
			keys = append(keys, name)
		}
	}
	return keys
}

// TestEveryKeyIsShown: --help says that the files of configs show every key of a program.
func TestEveryKeyIsShown(t *testing.T) {
	for file, target := range map[string]any{
		"namesrv.yaml": namesrvConfig{}, "broker.yaml": brokerConfig{}, "connect.yaml": connectConfig{}, "standalone.yaml": standaloneConfig{},
	} {
		text, err := os.ReadFile(filepath.Join(configs, file))
		if err != nil {
			t.Fatal(err)
		}
		keys := keysOf(reflect.TypeOf(target))
		if len(keys) < 4 {
			t.Errorf("%s: only the keys %q were found", file, keys)
		}
		for _, key := range keys {
			if !regexp.MustCompile(`(?m)(^|[ #{,])` + regexp.QuoteMeta(key) + `:`).Match(text) {
				t.Errorf("configs/%s does not show %s", file, key)
			}
		}
	}
}

// TestTheBrokersFileShowsTheDefaults: but for what it names for the reader.
func TestTheBrokersFileShowsTheDefaults(t *testing.T) {
	doc, err := config.ReadFile(filepath.Join(configs, "broker.yaml"), environment)
	if err != nil {
		t.Fatal(err)
	}
	shown, want := brokerConfig{Config: broker.DefaultConfig()}, brokerConfig{Config: broker.DefaultConfig()}
	if err := config.Load(doc, config.Layers{}, &shown); err != nil {
		t.Fatal(err)
	}
	want.BrokerName, want.HoldReservedTime = shown.BrokerName, shown.HoldReservedTime
	want.AutoCreateTopicEnable = shown.AutoCreateTopicEnable // on loopback
	if shown != want {
		t.Errorf("configs/broker.yaml shows %+v\nthe defaults are %+v", shown, want)
	}
}
