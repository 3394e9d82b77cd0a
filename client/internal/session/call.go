package session

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/rpc"
)

// Invoke sends a request to an address and waits for its answer, whatever its code. The
// answer belongs to the caller. An error wraps ErrNotSent or ErrUncertain.
func (s *Session) Invoke(ctx context.Context, addr string, req *remoting.Command) (*remoting.Command, error) {
	if s.ctx.Err() != nil {
		return nil, errEnded
	}
	s.sign(req)
	ans, err := s.rpc.Invoke(ctx, addr, req)
	if err != nil {
		return nil, s.classify(addr, err)
	}
	return ans, nil
}

// InvokeAsync is Invoke without waiting for the answer: done is called exactly once, on
// the goroutine that reads the connection or on the caller's, and must not block. It
// waits for a connection until ctx ends. Requests to one address leave in the order of
// the calls.
func (s *Session) InvokeAsync(ctx context.Context, addr string, req *remoting.Command, timeout time.Duration,
	done func(*remoting.Command, error)) {
	if s.ctx.Err() != nil {
		done(nil, errEnded)
		return
	}
	s.sign(req)
	conn, err := s.rpc.Conn(ctx, addr)
	if err == nil {
		err = conn.InvokeAsync(req, timeout, func(ans *remoting.Command, err error) {
			if err != nil {
				err = s.classify(addr, err)
			}
			done(ans, err)
		})
	}
	if err != nil {
		done(nil, s.classify(addr, err))
	}
}

// Oneway sends a request that gets no answer. nil means that it was queued.
func (s *Session) Oneway(ctx context.Context, addr string, req *remoting.Command) error {
	if s.ctx.Err() != nil {
		return errEnded
	}
	s.sign(req)
	if err := s.rpc.Oneway(ctx, addr, req); err != nil {
		return s.classify(addr, err)
	}
	return nil
}

var errEnded = fmt.Errorf("%w: %w", ErrNotSent, ErrClosed)

// classify says whether a request that failed may have been carried out.
func (s *Session) classify(addr string, err error) error {
	if errors.Is(err, rpc.ErrTimeout) || errors.Is(err, rpc.ErrClosed) {
		if s.ctx.Err() != nil {
			return fmt.Errorf("%w: %w: %w", ErrUncertain, ErrClosed, err)
		}
		return fmt.Errorf("%w: %s: %w", ErrUncertain, addr, err)
	}
	return fmt.Errorf("%w: %s: %w", ErrNotSent, addr, err)
}

func (s *Session) sign(req *remoting.Command) {
	if s.cfg.Credentials.AccessKey != "" {
		sign(req, s.cfg.Credentials)
	}
}

// sign adds the access key and the signature: HMAC-SHA1 over the values of all fields,
// sorted by name, and the body.
func sign(req *remoting.Command, c Credentials) {
	req.Ext.Delete("Signature") // a request that is sent again
	req.Ext.Set("AccessKey", c.AccessKey)
	if c.SecurityToken != "" {
		req.Ext.Set("SecurityToken", c.SecurityToken)
	}
	fields := make([]remoting.Field, req.Ext.Len())
	for i := range fields {
		fields[i].Key, fields[i].Value = req.Ext.At(i)
	}
	slices.SortFunc(fields, func(a, b remoting.Field) int {
		if a.Key < b.Key {
			return -1
		}
		return 1
	})
	mac := hmac.New(sha1.New, []byte(c.SecretKey))
	for _, f := range fields {
		mac.Write([]byte(f.Value))
	}
	mac.Write(req.Body)
	req.Ext.Set("Signature", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}
