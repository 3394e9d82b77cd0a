package main

import (
	"path/filepath"
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
	for _, dir := range []string{"pipelines", "demo"} {
		found, errs := spec.ReadDir(filepath.Join(configs, dir), kinds(), environment)
		if len(found) == 0 || len(errs) > 0 {
			t.Errorf("%s: %d pipelines, %v", dir, len(found), errs)
		}
	}
}
