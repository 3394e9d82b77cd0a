package txn

// CheckBack is one round of check-backs, which Run makes at its interval.
func (s *Service) CheckBack() { s.checkBack() }

// FlushOps writes the operation records that are due.
func (s *Service) FlushOps() { s.flushOps() }

// Sweep settles what became durable late.
func (s *Service) Sweep() { s.sweep() }

// Snapshot writes the snapshot file.
func (s *Service) Snapshot() {
	s.takeSnapshot()
	s.writeSnapshot()
}

// Pending counts the undecided halves.
func (s *Service) Pending() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.index.count
}

// Wait waits for looks into the log, which work aside.
func (s *Service) Wait() { s.tasks.Wait() }
