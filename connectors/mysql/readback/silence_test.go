package readback

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/connectors/mysql/account"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// freezing is a connection to a server that is frozen at some time: what waits for it then
// waits until its deadline, which is over at once.
type freezing struct {
	net.Conn
	frozen   *atomic.Bool
	deadline atomic.Bool
}

func (f *freezing) SetReadDeadline(at time.Time) error {
	f.deadline.Store(!at.IsZero())
	return f.Conn.SetReadDeadline(at)
}

func (f *freezing) Read(b []byte) (int, error) {
	switch {
	case !f.frozen.Load():
		return f.Conn.Read(b)
	case f.deadline.Load():
		return 0, os.ErrDeadlineExceeded
	}
	return 0, errors.New("nobody would end this wait")
}

// TestAFrozenServerIsNotWaitedForWithoutEnd: whatever is asked ends, and says why.
func TestAFrozenServerIsNotWaitedForWithoutEnd(t *testing.T) {
	server := testenv.MariaDB(t)
	exec(t, open(t, server), "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY)", "INSERT INTO shop.a VALUES (1)")
	table := event.TableName{DB: "shop", Table: "a"}
	for name, ask := range map[string]func(context.Context, *Reader, func()) error{
		"Tables": func(ctx context.Context, r *Reader, freeze func()) error {
			freeze()
			_, err := r.Tables(ctx)
			return err
		},
		"Place": func(ctx context.Context, r *Reader, freeze func()) error {
			freeze()
			_, err := r.Place(ctx)
			return err
		},
		"RowsAbout": func(ctx context.Context, r *Reader, freeze func()) error {
			freeze()
			_, err := r.RowsAbout(ctx, table)
			return err
		},
		"Spread": func(ctx context.Context, r *Reader, freeze func()) error {
			freeze()
			_, err := r.Spread(ctx, table, 1, func() float64 { return 0.5 })
			return err
		},
		"Read": func(ctx context.Context, r *Reader, freeze func()) error {
			return r.Read(ctx, table, func([]pipeline.ReadColumn) error { freeze(); return nil }, func([]pipeline.Cell) error { return nil })
		},
		"ReadAfter": func(ctx context.Context, r *Reader, freeze func()) error {
			return r.ReadAfter(ctx, table, nil, 10, func([]pipeline.ReadColumn) error { freeze(); return nil },
				func([]pipeline.Cell) error { return nil })
		},
		"ReadKeys": func(ctx context.Context, r *Reader, freeze func()) error {
			return r.ReadKeys(ctx, table, [][]pipeline.Cell{{text("1")}}, func([]pipeline.ReadColumn) error { freeze(); return nil },
				func([]pipeline.Cell) error { return nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			frozen := &atomic.Bool{}
			r, err := New(Config{Account: account.Account{Address: server.Addr, User: "root", Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
				return &freezing{Conn: conn, frozen: frozen}, err
			}}})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if _, err := r.Tables(t.Context()); err != nil { // the connection is there before
				t.Fatal(err)
			}
			err = ask(t.Context(), r, func() { frozen.Store(true) })
			if err == nil || !strings.Contains(err.Error(), "said nothing for 10m0s") || !strings.Contains(err.Error(), server.Addr) {
				t.Errorf("it ends with %v", err)
			}
		})
	}
}
