package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// profiled keeps CPU profiles of the daemon, one of each second, in the directory of
// --profiles until the function that it returns is called; `go tool pprof` adds up what it is
// given. Without --profiles it does nothing.
func (b *bench) profiled(ctx context.Context, name string) (stop func()) {
	if b.profiles == "" {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		stem := strings.Map(func(r rune) rune {
			if r == ' ' || r == ',' || r == '/' {
				return '-'
			}
			return r
		}, name)
		for n := 0; ctx.Err() == nil; n++ {
			// The last one is cut off where the work ends: what it holds so far is lost.
			if err := b.profile(ctx, filepath.Join(b.profiles, fmt.Sprintf("%s-%03d.pprof", stem, n))); err != nil {
				if ctx.Err() == nil {
					b.say("no profile: %v", err)
				}
				return
			}
		}
	}()
	return func() { cancel(); <-done }
}

func (b *bench) profile(ctx context.Context, name string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.pprof+"/debug/pprof/profile?seconds=1", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", answer.Status, body)
	}
	if err := os.MkdirAll(b.profiles, 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, body, 0o644)
}
