package faults

import (
	"context"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// With a process for each part, any of them may stand still or die while the others work.
func TestPartsThatStandStillOrDie(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 6*time.Minute)
	defer cancel()
	s := newStage(ctx, t)
	c := startCluster(t, "--config", brokerConfig(t))
	http := s.args[6] // the stage's own, behind --http
	s.name, s.args = "connect", []string{"connect", "--pipelines", filepath.Dir(s.file), "--data", filepath.Join(s.dir, "connect"),
		"--http", http, "--namesrv", c.namesAddr, "--broker", "part"}
	work := startLoad(ctx, s.db, seedOf(t), true)
	s.start()
	pause := faultTime(t) * 2 / 5
	for _, act := range []func(){
		func() { // the broker stands still longer than every time-out of a request
			if err := c.broker.proc.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			<-time.After(pause)
			if err := c.broker.proc.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
		},
		func() { c.broker.kill(); c.broker.start() },
		func() { s.kill(); s.start() },
		func() { c.names.kill(); <-time.After(time.Second); c.names.start() },
		func() { c.broker.terminate(); c.broker.start() },
		func() { s.terminate(); s.start() },
	} {
		<-time.After(1500 * time.Millisecond)
		s.alive()
		act()
	}
	<-time.After(time.Second)
	work.end(t)
	s.settled(ctx)
	s.equal(ctx)
	s.terminate()
	c.broker.terminate()
	c.names.terminate()
	verifyStore(t, c.store)
}
