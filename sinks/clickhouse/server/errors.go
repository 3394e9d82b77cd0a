package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	clickhouse "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/sinks/clickhouse/ddl"
)

// ErrUnknown says that a block was sent and no answer came: it is there, or it is not.
var ErrUnknown = errors.New("the outcome of an insert is not known")

// ErrRestarted says that the server has started anew since the table was claimed: what it
// had acknowledged may be gone.
var ErrRestarted = errors.New("the ClickHouse server has started anew since the table was claimed")

// remedies are the codes of a server that did nothing because it could not.
var remedies = map[int32]string{
	60:  "the table is gone; the sink makes it again",
	81:  "create the database, or give the user CREATE DATABASE",
	159: "the statement took longer than the server's max_execution_time; raise it for this user",
	164: "the user is read-only (profile readonly); give it another profile",
	192: "no such user: see user and password of the sink",
	193: "wrong password: see user and password of the sink",
	194: "a password is needed: see password of the sink",
	195: "the user may not connect from this address",
	201: "the user's quota is used up; raise it",
	202: "the server runs too many queries at once (max_concurrent_queries); it goes on by itself",
	225: "the server has no Keeper, which Replicated engines need; name another engine",
	236: "the server is being stopped; it goes on by itself",
	241: "the server is at its memory limit; flush.rows and flush.bytes can be made smaller",
	242: "the table is read-only: its replica has lost Keeper or its disk; it goes on by itself",
	243: "the server's disk is full; free space and it goes on by itself",
	252: "the table has too many parts, merges don't keep up; it goes on by itself: a longer flush.interval makes fewer",
	279: "no replica answers; it goes on by itself",
	319: "the quorum did not answer",
	394: "the query was killed",
	497: "the user lacks a privilege; grant what the message names",
	516: "the user or its password is wrong: see user and password of the sink",
	529: "the server is being started; it goes on by itself",
}

// explain gives an error of the driver its meaning.
func explain(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var ex *clickhouse.Exception
	if errors.As(err, &ex) {
		return explainCode(ex)
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, clickhouse.ErrAcquireConnTimeout) {
		return fmt.Errorf("%w: the server can't be reached: %w (see address of the sink; it goes on by itself)", pipeline.ErrUnwritable, err)
	}
	return err
}

func explainCode(ex *clickhouse.Exception) error {
	if ex.Code == 469 {
		switch {
		case strings.Contains(ex.Message, ddl.FenceConstraint):
			return fmt.Errorf("%w: its generation is closed in the target", pipeline.ErrSuperseded)
		case strings.Contains(ex.Message, ddl.LifeConstraint):
			return ErrRestarted
		}
		return fmt.Errorf("%w: a constraint of the target's table does not let it in: %w", pipeline.ErrRecord, ex)
	}
	if remedy, ok := remedies[ex.Code]; ok {
		return fmt.Errorf("%w: %w (%s)", pipeline.ErrUnwritable, ex, remedy)
	}
	return ex
}

// Code is the server's number of an error, 0 for one that is not the server's.
func Code(err error) int32 {
	var ex *clickhouse.Exception
	if errors.As(err, &ex) {
		return ex.Code
	}
	return 0
}
