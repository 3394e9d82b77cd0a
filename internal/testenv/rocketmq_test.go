package testenv

import (
	"context"
	"strings"
	"testing"
	"time"
)

func TestRocketMQClusterStartsAndStops(t *testing.T) {
	r := NeedRocketMQ(t)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	ns, err := r.StartNamesrv(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Kill()
	b, err := r.StartBroker(ctx, t.TempDir(), ns.Addr, RocketMQBroker{Name: "oracle", Cluster: "golden"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Kill()
	out, err := r.Admin(ctx, t.TempDir(), ns.Addr, "clusterList")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"golden", "oracle", b.Addr} {
		if !strings.Contains(out, want) {
			t.Errorf("clusterList does not name %q:\n%s", want, out)
		}
	}
	if err := b.Stop(); err != nil {
		t.Error(err)
	}
	if err := ns.Stop(); err != nil {
		t.Error(err)
	}
}
