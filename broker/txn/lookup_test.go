package txn_test

import "testing"

// TestAHalfThatWasDecidedLateIsFoundInFewReads: without an index a final message is looked for
// behind its half, however many messages of others came between the two.
func TestAHalfThatWasDecidedLateIsFoundInFewReads(t *testing.T) {
	const between = 2000
	w := newWorld(t)
	w.log.noIndex, w.cfg.Remembered = true, 1
	w.start()
	for range 3 {
		w.send("T", 0, nil)
	}
	w.half("late", "T", 0, nil, "group")
	for range between {
		w.send("T", 0, nil)
	}
	w.end("late", true, nil)
	w.half("another", "U", 0, nil, "group")
	w.end("another", true, nil) // and the first one is remembered no longer
	w.log.gets = 0
	got := w.end("late", true, nil)
	if len(got.outcomes) != 1 || describe(got.outcomes[0]) != "committed at 2003" {
		t.Errorf("decided once more: %+v", got)
	}
	if most := between / 16; w.log.gets == 0 || w.log.gets > most {
		t.Errorf("%d reads for %d messages", w.log.gets, between)
	}
}
