package runner_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/client/admin"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/httpapi"
)

// topics are those of the rig's pipeline.
func (r *rig) topics() []string {
	r.t.Helper()
	a, err := admin.New(client.WithNameServers(r.cluster.Names))
	if err == nil {
		err = a.Start(context.Background())
	}
	if err != nil {
		r.t.Fatal(err)
	}
	defer a.Close(context.Background())
	all, err := a.Topics(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(name string) bool { return !strings.HasPrefix(name, event.TopicPrefix("orders")) })
}

// TestADeletedPipelineLeavesWhatItIsAskedTo: its file is put aside, and topics go only when
// that is asked for, also by asking again; a pipeline of the same file begins anew.
func TestADeletedPipelineLeavesWhatItIsAskedTo(t *testing.T) {
	r := newRig(t)
	r.start()
	r.equal()
	r.streaming()
	done, err := r.daemon.Delete(t.Context(), "orders", httpapi.DeleteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(r.plan.Dir, "pipelines", "orders.yaml")
	if kept := strings.Join(done.Kept, "; "); !strings.Contains(kept, file+".deleted") ||
		!strings.Contains(kept, "whatever there is of topics orders--*") || !strings.Contains(kept, "whatever sink check holds") {
		t.Errorf("kept: %s", kept)
	}
	if len(done.Removed) != 0 || len(r.topics()) == 0 {
		t.Errorf("removed without being asked: %v", done.Removed)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is there still: %v", err)
	}
	if all := r.daemon.Statuses(); len(all) != 0 {
		t.Errorf("it is shown still: %+v", all)
	}
	r.restart()
	if all := r.daemon.Statuses(); len(all) != 0 {
		t.Errorf("a restart brings it back: %+v", all)
	}
	done, err = r.daemon.Delete(t.Context(), "orders", httpapi.DeleteOptions{PurgeTopics: true})
	if err != nil {
		t.Fatal(err)
	}
	if left := r.topics(); len(left) != 0 || !slices.Contains(done.Removed, "topic orders--checkpoint") {
		t.Errorf("topics left: %v; removed: %v", left, done.Removed)
	}
	if _, err := r.daemon.Delete(t.Context(), "nobody", httpapi.DeleteOptions{}); !errors.Is(err, httpapi.ErrUnknown) {
		t.Errorf("a pipeline that is none: %v", err)
	}
	if _, err := r.daemon.Delete(t.Context(), "orders", httpapi.DeleteOptions{PurgeTarget: true}); err == nil ||
		!strings.Contains(err.Error(), "by hand") {
		t.Errorf("a sink that can't purge: %v", err)
	}
}
