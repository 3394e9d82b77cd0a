package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/broker"
	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/namesrv"
	"github.com/millrace/millrace/pipeline/spec"
)

const configs = "../../configs"

// environment has what the example files ask for.
func environment(name string) (string, bool) {
	value, ok := map[string]string{
		"ORDERS_PASSWORD": "secret", "DEMO_MYSQL": "127.0.0.1:3306", "DEMO_PASSWORD": "secret", "DEMO_LAKE": "/lake",
		"DEMO_CLICKHOUSE": "127.0.0.1:9000", "DEMO_S3": "http://127.0.0.1:7070", "MYSQL_PASSWORD": "secret", "CLICKHOUSE_PASSWORD": "secret",
	}[name]
	return value, ok
}

func TestEveryExampleConfigurationIsRight(t *testing.T) {
	for file, target := range map[string]any{
		"namesrv.yaml":    &namesrvConfig{Config: namesrv.DefaultConfig()},
		"broker.yaml":     &brokerConfig{Config: broker.DefaultConfig()},
		"connect.yaml":    &connectConfig{},
		"standalone.yaml": &standaloneConfig{Namesrv: namesrv.DefaultConfig(), Broker: broker.DefaultConfig()},
	} {
		doc, err := config.ReadFile(filepath.Join(configs, file), environment)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if err := config.Load(doc, config.Layers{}, target); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		switch c := target.(type) {
		case *namesrvConfig:
			err = c.Validate()
		case *brokerConfig:
			c.StorePathRootDir = t.TempDir()
			err = c.Validate()
		}
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	for dir, pipelines := range map[string]int{"pipelines": 1, "examples": 2, "demo": 1, "demo-s3": 1, "demo-clickhouse": 1} {
		names := environment
		if dir == "demo-s3" {
			names = func(name string) (string, bool) {
				if name == "DEMO_LAKE" {
					return "s3://lake/demo", true
				}
				return environment(name)
			}
		}
		found, errs := spec.ReadDir(filepath.Join(configs, dir), kinds(), names)
		if len(found) != pipelines || len(errs) > 0 {
			t.Errorf("%s: %d pipelines, %v", dir, len(found), errs)
		}
	}
}

// TestAForeignFileThatMeansMoreIsRefused starts with RocketMQ's own file: what would not be
// honoured is named, all of it, before anything is opened.
func TestAForeignFileThatMeansMoreIsRefused(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "broker.conf")
	text := "brokerName=broker-a\ndeleteWhen=04\nstorePathRootDir=" + filepath.ToSlash(dir) +
		"/store\naclEnable=true\nenableDLegerCommitLog=true\nenableControllerMode=false\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	out, status := execute(t, "broker", "-c", file)
	if status != exitConfiguration || !strings.Contains(out, "broker.conf:4") || !strings.Contains(out, "aclEnable=true") ||
		!strings.Contains(out, "enableDLegerCommitLog=true") || strings.Contains(out, "enableControllerMode=") {
		t.Errorf("status %d: %s", status, out)
	}
	if _, err := os.Stat(filepath.Join(dir, "store")); err == nil {
		t.Error("the store was opened")
	}
}
