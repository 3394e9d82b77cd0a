package account

import (
	"errors"
	"testing"

	"github.com/millrace/millrace/pipeline"
)

// TestConnectionsLeadToOneServer: the first connection says which, either way of making
// one is refused elsewhere, also by a server of the other kind, and the owner is told.
func TestConnectionsLeadToOneServer(t *testing.T) {
	var addresses []string
	for _, start := range kinds {
		addresses = append(addresses, start(t).Addr, start(t).Addr)
	}
	for i, first := range addresses {
		told := 0
		a := Account{Address: first, User: "root", TLS: TLS{Mode: Preferred}, Server: NewServer(func(err error) {
			if errors.Is(err, pipeline.ErrStrayed) {
				told++
			}
		})}
		if _, err := connected(t, a); err != nil {
			t.Fatal(err)
		}
		if a.Server.Identity() == "" {
			t.Fatal("nobody knows which server it is")
		}
		for k, next := range addresses {
			told = 0
			a.Address = next
			_, err := connected(t, a)
			switch {
			case i == k && (err != nil || told > 0):
				t.Errorf("the same server: %v, told %d times", err, told)
			case i != k && (!errors.Is(err, pipeline.ErrStrayed) || told != 2):
				t.Errorf("from %d to %d: %v, told %d times", i, k, err, told)
			}
		}
	}
}
