package processor

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/millrace/millrace/namesrv"
	"github.com/millrace/millrace/remoting/protocol"
	"github.com/millrace/millrace/remoting/rpc"
)

var update = flag.Bool("update", false, "write docs/protocol.md anew")

const protocolPage = "../../docs/protocol.md"

func TestEveryCodeHasOneRow(t *testing.T) {
	seen := map[int]bool{}
	for _, r := range Table() {
		if seen[r.Code] {
			t.Errorf("%d has two rows", r.Code)
		}
		seen[r.Code] = true
		if r.Name == "" || r.Resource == "" || r.Action == "" || r.Status == "" {
			t.Errorf("%d: %+v", r.Code, r)
		}
		if (r.handler != nil) != (r.Status == Done) {
			t.Errorf("%s says %q, it has a handler: %v", r.Name, r.Status, r.handler != nil)
		}
	}
	names := map[int]bool{}
	for _, r := range namesrv.Table() {
		names[r.Code] = true
	}
	// Codes that neither serves: controllers, containers, obsolete ones. A name without
	// a row anywhere else has been forgotten.
	for code := range 201_000 {
		if name := protocol.RequestName(code); name != "" && !seen[code] && !names[code] && !elsewhere(code) {
			t.Errorf("%s (%d) is in no table", name, code)
		}
	}
}

func elsewhere(code int) bool {
	switch {
	case code >= 1001 && code <= 1018: // controller
		return true
	case code == protocol.AddBroker, code == protocol.RemoveBroker: // container
		return true
	case code >= protocol.SuspendConsumer && code <= protocol.WhoConsumeTheMessage: // never were served
		return true
	}
	switch code {
	case protocol.QueryBrokerOffset, protocol.GetTopicConfigList, protocol.GetTopicNameList, protocol.TriggerDeleteFiles,
		protocol.GetClientConfig:
		return true
	}
	return false
}

// refuseAll is the authoriser that lets nothing pass.
type refuseAll struct{ asked map[int]bool }

func (r refuseAll) Authorize(_ *rpc.Exchange, row *Row) error {
	r.asked[row.Code] = true
	return errors.New("nobody may")
}

// TestDefaultDeny walks every code: whatever is known is put before the authoriser, and
// what it refuses is answered before any handler runs. Handlers would panic here, since
// the processor stands on nothing.
func TestDefaultDeny(t *testing.T) {
	auth := refuseAll{map[int]bool{}}
	p := New(Config{}, Deps{Authorizer: auth, Metrics: NewMetrics(nil)})
	ask := serve(t, p)
	for _, row := range Table() {
		ans := ask(row.Code)
		if ans.Code != protocol.NoPermission || ans.Remark != "nobody may" || !auth.asked[row.Code] {
			t.Errorf("%s: %d %q", row.Name, ans.Code, ans.Remark)
		}
	}
	if n := p.Metrics.Rejects.Load(); n != int64(len(Table())) {
		t.Errorf("%d refusals are counted", n)
	}
}

func TestWhatIsNotServedIsRefusedByName(t *testing.T) {
	ask := serve(t, New(Config{}, Deps{Metrics: NewMetrics(nil)}))
	for _, row := range Table() {
		if row.handler != nil {
			continue
		}
		ans := ask(row.Code)
		if ans.Code != protocol.RequestCodeNotSupported || !strings.Contains(ans.Remark, row.Name) {
			t.Errorf("%s: %d %q", row.Name, ans.Code, ans.Remark)
		}
	}
	if ans := ask(12345); ans.Code != protocol.RequestCodeNotSupported || ans.Remark != " request type 12345 not supported" {
		t.Errorf("unknown: %d %q", ans.Code, ans.Remark)
	}
}

func TestProtocolPage(t *testing.T) {
	want := page()
	if *update {
		if err := os.WriteFile(protocolPage, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(protocolPage)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("docs/protocol.md is not what the tables say; write it anew with: go test ./broker/processor -run ProtocolPage -update")
	}
}

const pageHead = `# Request codes

Generated from the tables in ` + "`broker/processor/table.go`" + ` and ` + "`namesrv/table.go`" + `; do not edit.

The frame, the header and the bodies are those of Apache RocketMQ's remoting protocol; packages ` + "`remoting`" + ` and
` + "`remoting/protocol`" + ` document them field by field. *Resource* and *action* are what authorisation is asked about.
*Served*: **yes** is answered as RocketMQ 5 does; *planned* and *no* are refused with code 3 and the code's name;
an unknown code is refused with code 3 and its number.

`

const pageTail = `
## Answers of our own

| code | name | when |
|---:|---|---|
| 31101 | STALE | OPEN_WRITER under a term that is not above the known one; header ` + "`known`" + ` says it |
| 31102 | FENCED | a half, send, END or RESOLVE under a term that is not the writer's current one |
| 31103 | DUPLICATE | a message whose numbers its queue has passed already; header ` + "`last`" + ` says how far it is |
| 31104 | GAP | a message that does not follow the last one of its queue; header ` + "`last`" + ` |
| 31105 | GONE | a half message that is not known (any more) |

## Deviations worth knowing

* A pull outside of its queue is answered 21 whatever the client is, counted in ` + "`millrace_pull_out_of_range_total`" + `, and never parked.
* Answers have the header form of their request; requests that the broker starts have JSON headers.
* A message with ` + "`DELAY`" + ` or ` + "`TIMER_*`" + ` is refused with 13: delivering it at once would be wrong.
* The creation, change or deletion of a topic is answered when every name server knows it, or after two seconds; the answer is success
  all the same, and its remark names the name servers that do not know it yet.
* Topics with the attribute ` + "`millrace.writer`" + ` have owned queues: batches and messages without a link are refused.
  Deleting one (215) is refused with 16 unless the header field ` + "`force`" + ` is true; a message with a writer's properties (` + "`mr_p`" + `)
  never creates a topic: 17. Deleting a topic that is not there is success with the header field ` + "`missing`" + `.
`

func page() []byte {
	var b bytes.Buffer
	b.WriteString(pageHead)
	section := func(title string) {
		fmt.Fprintf(&b, "## %s\n\n| code | name | resource | action | served | note |\n|---:|---|---|---|---|---|\n", title)
	}
	line := func(code int, name, resource, action, status, note string) {
		if status == string(Done) {
			status = "**yes**"
		}
		fmt.Fprintf(&b, "| %d | %s | %s | %s | %s | %s |\n", code, name, resource, action, status, note)
	}
	section("Broker")
	for _, r := range Table() {
		line(r.Code, r.Name, string(r.Resource), string(r.Action), string(r.Status), r.Note)
	}
	b.WriteString("\n")
	section("Name server")
	for _, r := range namesrv.Table() {
		line(r.Code, r.Name, r.Resource, r.Action, r.Status, r.Note)
	}
	b.WriteString(pageTail)
	return b.Bytes()
}
