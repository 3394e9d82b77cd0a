package serve

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/millrace/millrace/internal/testenv/chserver"
	"github.com/millrace/millrace/internal/testenv/chserver/engine"
	"github.com/millrace/millrace/internal/testenv/chserver/wire"
)

// Server answers connections out of an engine.
type Server struct {
	engine   *engine.Engine
	log      *slog.Logger
	users    []chserver.User
	greeting wire.Greeting
	version  string // "" is the engine's
	uuid     string
	faults   faults

	mu      sync.Mutex
	running map[string]string // users by the ids of their queries
}

// New makes a server for an engine whose directory is dir.
func New(e *engine.Engine, dir string, options chserver.Options, log *slog.Logger) (*Server, error) {
	s := &Server{engine: e, log: log, users: options.Users, version: options.Version, running: map[string]string{}}
	var err error
	if s.uuid, err = ownUUID(filepath.Join(dir, "uuid")); err != nil {
		return nil, err
	}
	version := options.Version
	conn, err := e.Connect()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	real, err := scalar(conn, "SELECT version()")
	if err != nil {
		return nil, err
	}
	if version == "" {
		version = real
	}
	if s.greeting, err = greet(version); err != nil {
		return nil, err
	}
	s.greeting.Timezone, err = scalar(conn, "SELECT timezone()")
	return s, err
}

// Version is what the server says it is.
func (s *Server) Version() string {
	return fmt.Sprintf("%d.%d.%d", s.greeting.Major, s.greeting.Minor, s.greeting.Patch)
}

// greet takes a version apart.
func greet(version string) (wire.Greeting, error) {
	var n [3]uint64
	for i, part := range strings.SplitN(version, ".", 4) {
		if i == len(n) {
			break
		}
		v, err := strconv.ParseUint(part, 10, 32)
		if err != nil {
			return wire.Greeting{}, fmt.Errorf("version %q: numbers with dots are wanted, as 26.7.2.1", version)
		}
		n[i] = v
	}
	host, err := os.Hostname()
	return wire.Greeting{Name: "ClickHouse", Major: n[0], Minor: n[1], Patch: n[2], Display: host}, err
}

// ownUUID is the one in the file, which is written the first time.
func ownUUID(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err == nil {
		return strings.TrimSpace(string(b)), nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	id := newUUID()
	return id, os.WriteFile(file, []byte(id), 0o644)
}

func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// scalar is the one value that a statement answers with.
func scalar(conn *engine.Conn, sql string) (value string, err error) {
	_, err = conn.Query(sql, "TSVRaw", nil, func(data []byte) error {
		value = strings.TrimSuffix(string(data), "\n")
		return nil
	})
	return value, err
}

// Serve answers until ctx ends, and then waits for its connections.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var sessions sync.WaitGroup
	defer sessions.Wait()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			cancel()
			return err
		}
		sessions.Go(func() {
			defer conn.Close()
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			defer stop()
			if err := s.session(ctx, conn); err != nil {
				s.log.Info("connection ended", "client", conn.RemoteAddr().String(), "error", err)
			}
		})
	}
}

// enter keeps an id for a user's query; false when another one runs under it.
func (s *Server) enter(id, user string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.running[id]; ok {
		return false
	}
	s.running[id] = user
	return true
}

func (s *Server) leave(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.running, id)
}

// owners are the users of queries that run and are not the engine's own user's.
func (s *Server) owners() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	owners := maps.Clone(s.running)
	maps.DeleteFunc(owners, func(_, user string) bool { return user == engineUser })
	return owners
}

// kill ends the query that a client named so.
func (s *Server) kill(id string) {
	conn, err := s.engine.Connect()
	if err != nil {
		s.log.Error("kill a query", "id", id, "error", err)
		return
	}
	defer conn.Close()
	if _, err := conn.Query("KILL QUERY WHERE "+clientID+" = "+literal(id)+" ASYNC", "Null", nil, nil); err != nil {
		s.log.Error("kill a query", "id", id, "error", err)
	}
}
