package processor

import "testing"

func TestAnswerMemory(t *testing.T) {
	var m answerMemory
	for _, tc := range []struct{ ask, least int }{
		{1, 0}, {lendFrom - 1, 0}, {lendFrom, lendFrom}, {lendStep, lendStep}, {lendStep + 1, 2 * lendStep}, {5 * lendLimit, 5 * lendLimit},
	} {
		b := m.take(tc.ask)
		if len(b) != 0 || cap(b) < tc.least || tc.least == 0 && b != nil {
			t.Errorf("take(%d): %d of %d bytes, want none of at least %d", tc.ask, len(b), cap(b), tc.least)
		}
		if b != nil {
			m.give(b[:tc.ask])
		}
	}
	// A large one is not spent on a small answer, which might hold it for long.
	m.give(make([]byte, 0, lendLimit))
	if b := m.take(lendFrom); cap(b) > 4*lendStep {
		t.Errorf("%d bytes for an answer of %d", cap(b), lendFrom)
	}
}
