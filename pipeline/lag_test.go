package pipeline_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/millrace/millrace/pipeline"
)

func TestLagIsNeverNegativeAndNeverGuessed(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	lag := pipeline.Complete{Source: at.Add(time.Minute), Broker: at, Target: at.Add(-90 * time.Second)}.LagAt(at)
	text, err := json.Marshal(lag)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(text), `{"source":0,"broker":0,"target":90,"current":"unknown"}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	var back pipeline.Lag
	if err := json.Unmarshal(text, &back); err != nil || back != lag {
		t.Errorf("read back as %v, %v", back, err)
	}
	if lag.Current.Below(1e9) || !lag.Broker.Below(1) || lag.Current.String() != "unknown" || lag.Target.String() != "90.0s" {
		t.Errorf("%v", lag)
	}
}

func TestTheLeastOfWhatIsNotKnownIsNotKnown(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	a := pipeline.Complete{Source: at, Broker: at, Target: at}
	b := pipeline.Complete{Source: at.Add(1), Broker: at.Add(-1), Current: at}
	if got, want := a.Least(b), (pipeline.Complete{Source: at, Broker: at.Add(-1)}); got != want {
		t.Errorf("%v, want %v", got, want)
	}
	if a.Least(b) != b.Least(a) {
		t.Error("it depends on the order")
	}
}
