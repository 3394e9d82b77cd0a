package runner

import "sync"

// turns says who is about to start, replace, stop or delete which pipeline: one at a time
// for each name. What takes long for one pipeline keeps nobody from another.
type turns struct {
	mu   sync.Mutex
	held map[string]chan struct{} // closed when the turn is given back
}

// take waits until it is the caller's turn; give ends it.
func (t *turns) take(name string) (give func()) {
	for {
		give, held := t.try(name)
		if held == nil {
			return give
		}
		<-held
	}
}

// try takes a turn that nobody has; else held is closed when it is given back.
func (t *turns) try(name string) (give func(), held <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.held[name]; c != nil {
		return nil, c
	}
	c := make(chan struct{})
	if t.held == nil {
		t.held = map[string]chan struct{}{}
	}
	t.held[name] = c
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.held, name)
		close(c)
	}, nil
}
