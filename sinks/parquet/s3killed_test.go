package parquet

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
)

func workerWorld(t testing.TB) *world {
	w := newWorld(t, workerSeed, 2, false)
	for range 400 {
		w.step()
	}
	w.settle()
	return w
}

// TestLakeWorker is a process of TestKilledInABucket's, and nothing elsewhere.
func TestLakeWorker(t *testing.T) {
	spec := os.Getenv(workerEnv)
	if spec == "" {
		return
	}
	var b bucketLake
	var gen uint64
	b.server = &testenv.S3{}
	if _, err := fmt.Sscan(spec, &b.name, &b.server.Endpoint, &b.server.Access, &b.server.Secret, &b.server.Dir, &gen); err != nil {
		t.Fatal(err)
	}
	w := workerWorld(t)
	d := &deliverer{w: w, table: open(t, b.sink(t, b.server.Endpoint), claim(w.schemas, gen))}
	d.seek()
	for i := 0; d.flushed[0] < len(w.queues[0]) || d.flushed[1] < len(w.queues[1]); i++ {
		for q := range w.queues {
			must[int](t)(0, d.write(q, 3))
		}
		must[int](t)(0, d.flush())
		fmt.Printf("flushed %d %d\n", d.flushed[0], d.flushed[1])
		if i%4 == 3 {
			must[int](t)(0, d.table.current.MergeNow())
		}
		if i%16 == 15 {
			must[int](t)(0, d.table.changes.Checkpoint(t.Context(), keepOf(d.table)))
			must[int](t)(0, d.table.changes.Vacuum(t.Context()))
		}
	}
	fmt.Println("all is flushed")
}

// TestKilledInABucket kills a process again and again that writes a lake into a bucket, each
// time after another number of flushes, and has the next go on.
func TestKilledInABucket(t *testing.T) {
	server := testenv.NewS3(t)
	b := newBucketLake(t, server)
	w := workerWorld(t)
	acked := []int{0, 0}
	rng := rand.New(rand.NewPCG(rand.Uint64(), 1))
	kills := 0
	for gen := 1; ; gen++ {
		cmd := exec.Command(os.Args[0], "-test.run=^TestLakeWorker$", "-test.v")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %s %s %s %d", workerEnv, b.name, server.Endpoint, server.Access, server.Secret, server.Dir, gen))
		out := must[interface{ Read([]byte) (int, error) }](t)(cmd.StdoutPipe())
		cmd.Stderr = os.Stderr
		must[int](t)(0, cmd.Start())
		lines, left, done := bufio.NewScanner(out), 1+rng.IntN(5), false
		var said []string
		for lines.Scan() {
			said = append(said, lines.Text())
			var now [2]int
			if _, err := fmt.Sscanf(lines.Text(), "flushed %d %d", &now[0], &now[1]); err == nil {
				if now[0] < acked[0] || now[1] < acked[1] {
					t.Errorf("generation %d is at %v, %v were acknowledged", gen, now, acked)
				}
				acked = now[:]
				if left--; left == 0 {
					must[int](t)(0, cmd.Process.Kill())
				}
			}
			done = done || lines.Text() == "all is flushed"
		}
		err := cmd.Wait()
		if done {
			break
		}
		if left > 0 {
			t.Fatalf("generation %d ended by itself (%v):\n%s", gen, err, strings.Join(said, "\n"))
		}
		kills++
	}
	if kills < 5 {
		t.Fatalf("only %d processes were killed", kills)
	}
	d := &deliverer{w: w, table: open(t, b.sink(t, server.Endpoint), claim(w.schemas, 1<<20))}
	d.seek()
	b.finish(t, d)
	t.Logf("%d processes were killed", kills)
}
