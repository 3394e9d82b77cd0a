package bus

import (
	"math/rand/v2"
	"testing"

	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/pipeline/event"
)

// lossy crashes now and then; between openings something is lost.
func lossy(rng *rand.Rand, between func(r *rig, opening int)) *rig {
	r := newRig(newScript(rng, 30), tight(rng))
	chance := 20 + rng.IntN(60)
	r.hook = func(opening int, _ string, _ bool) error {
		if opening < 6 && rand.IntN(chance) == 0 {
			return errCrash
		}
		return nil
	}
	r.between = func(opening int) {
		if opening < 8 {
			between(r, opening)
		}
	}
	return r
}

func (r *rig) dataQueue(rng *rand.Rand) message.Queue {
	t := r.s.tables[rng.IntN(len(r.s.tables))]
	return message.Queue{Topic: event.TopicName("p", t), BrokerName: "b", QueueID: int32(rng.IntN(r.s.queues[t]))}
}

// TestBrokerLosesTheEndOfQueues: what was decided behind the newest group that every
// queue reaches is read again; each queue gets what it lacks and nothing twice.
func TestBrokerLosesTheEndOfQueues(t *testing.T) {
	s := seed(t)
	for i := range 150 {
		rng := rand.New(rand.NewPCG(s, uint64(i)))
		r := lossy(rng, func(r *rig, _ int) {
			for range 1 + rng.IntN(2) {
				r.twin.lose(r.dataQueue(rng), rng.IntN(6), rng.IntN(2) == 0)
			}
		})
		if err := r.run(t.Context()); err != nil {
			t.Fatalf("run %d: %v", i, err)
		}
	}
}

// TestCheckpointLosesItsEnd: queues hold what no record lists. The epoch rises, and the
// identities in the queues keep what is read again from being published twice.
func TestCheckpointLosesItsEnd(t *testing.T) {
	s := seed(t)
	for i := range 150 {
		r := forgetful(rand.New(rand.NewPCG(s, uint64(i))))
		if err := r.run(t.Context()); err != nil {
			t.Fatalf("run %d: %v", i, err)
		}
	}
}

// forgetful is a rig whose broker loses the last records of the checkpoint.
func forgetful(rng *rand.Rand) *rig {
	r := lossy(rng, func(r *rig, _ int) {
		r.twin.lose(message.Queue{Topic: event.CheckpointTopic("p"), BrokerName: "b"}, rng.IntN(5), false)
	})
	r.lost = recordsLost
	return r
}

// TestCheckpointIsLostWhole: reading begins at the source's present end under a higher
// epoch, and every table gets an attempt.
func TestCheckpointIsLostWhole(t *testing.T) {
	s := seed(t)
	for i := range 60 {
		rng := rand.New(rand.NewPCG(s, uint64(i)))
		r := lossy(rng, func(r *rig, opening int) {
			if opening == 2 {
				r.twin.lose(message.Queue{Topic: event.CheckpointTopic("p"), BrokerName: "b"}, 1<<30, false)
			}
		})
		r.lost = positionLost
		if err := r.run(t.Context()); err != nil {
			t.Fatalf("run %d: %v", i, err)
		}
	}
}
