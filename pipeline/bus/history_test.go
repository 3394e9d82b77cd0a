package bus

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"testing"

	"github.com/millrace/millrace/remoting/rpc"
)

// TestAHistoryThatIsGivenUpIsDueEverywhere publishes, gives the position up, and looks at
// what a later opening finds: a higher epoch, no position, an attempt of every table.
func TestAHistoryThatIsGivenUpIsDueEverywhere(t *testing.T) {
	c := newCluster(t)
	rng := rand.New(rand.NewPCG(seed(t), 0))
	rig := newRig(newScript(rng, 20), tight(rng))
	if err := c.publish(t.Context(), rig, rpc.Hook{}); err != nil {
		t.Fatal(err)
	}
	open := func() *Publisher {
		p, err := newPublisher(rig.cfg, slog.New(slog.DiscardHandler), c.connect(rpc.Hook{}))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	first := open()
	before, err := first.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if before.Position.IsZero() || len(before.Schemas) == 0 {
		t.Fatalf("nothing was published: %+v", before)
	}
	if _, err := first.ForgetHistory(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	first.shut(context.WithoutCancel(t.Context()))
	second := open()
	after, err := second.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	second.shut(context.WithoutCancel(t.Context()))
	if !after.Position.IsZero() || after.Epoch <= before.Epoch || len(after.Attempts) != len(before.Schemas) {
		t.Errorf("position %+v, epoch %d (was %d), %d attempts for %d tables", after.Position, after.Epoch, before.Epoch,
			len(after.Attempts), len(before.Schemas))
	}
	for _, a := range after.Attempts {
		if a.Begin != 0 {
			t.Errorf("the attempt of %s goes on at %d", a.Table, a.Begin)
		}
	}
}
