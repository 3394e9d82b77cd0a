package crash

import "testing"

func TestAnUndisturbedRun(t *testing.T) {
	w := newWorld(t, 1)
	steps, err := w.finish()
	if err != nil {
		t.Fatal(err)
	}
	t.Log(steps.Taken())
	if err := w.check(); err != nil {
		t.Fatal(err)
	}
}
