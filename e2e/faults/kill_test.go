package faults

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"
)

// Whatever moment the process is killed at, with snapshots, schema changes, truncations,
// renames and transactions of many groups on their way, the target equals the source in
// the end and no identity stands twice in changes/.
func TestKilledAtRandomMomentsNothingIsLostOrTwice(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 9*time.Minute)
	defer cancel()
	seed := seedOf(t)
	r := rand.New(rand.NewPCG(seed, 1))
	s := newStage(ctx, t)
	work := startLoad(ctx, s.db, seed, true)
	s.start()
	kills, terminated := 0, 0
	for end := time.Now().Add(faultTime(t)); time.Now().Before(end); kills++ {
		select {
		case <-time.After(time.Duration(300+r.IntN(5000)) * time.Millisecond):
		case <-ctx.Done():
		}
		s.alive()
		if r.IntN(4) == 0 {
			s.terminate()
			terminated++
		} else {
			s.kill()
		}
		s.start()
	}
	work.end(t)
	t.Logf("%d times SIGKILL, %d times SIGTERM", kills-terminated, terminated)
	s.settled(ctx)
	s.equal(ctx)
	s.terminate()
}

// A server that dies and comes back under the load loses nothing that it has committed,
// and the pipeline goes on where it was.
func TestDatabaseKilledUnderThePipeline(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 9*time.Minute)
	defer cancel()
	seed := seedOf(t)
	r := rand.New(rand.NewPCG(seed, 3))
	s := newStage(ctx, t, "--innodb-flush-log-at-trx-commit=1", "--sync-binlog=1")
	work := startLoad(ctx, s.db, seed, false)
	work.away.Store(true)
	s.start()
	for range 3 {
		<-time.After(time.Duration(1000+r.IntN(3000)) * time.Millisecond)
		s.server.Kill()
		s.alive()
		<-time.After(time.Duration(r.IntN(1000)) * time.Millisecond)
		if err := s.server.Start(ctx); err != nil {
			t.Fatal(err)
		}
	}
	<-time.After(time.Second)
	work.end(t)
	s.settled(ctx)
	s.equal(ctx)
	s.server.Kill() // nobody writes to it any more: the place follows all the same
	if err := s.server.Start(ctx); err != nil {
		t.Fatal(err)
	}
	s.settled(ctx)
}
