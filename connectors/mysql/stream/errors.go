package stream

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-mysql-org/go-mysql/mysql"
	perrors "github.com/pingcap/errors"
)

// ErrPurged says that the server no longer has the part of the log that was asked for.
var ErrPurged = errors.New("the server no longer has this part of its binary log")

// ErrBeyond says that what was asked for lies behind the end of the server's log, or
// is no place where an event begins: the log is not the one that was read.
var ErrBeyond = errors.New("the position is not in the server's binary log")

// ErrUnreadable says that the server could not read its own log where it was asked to.
var ErrUnreadable = errors.New("the server cannot read its binary log there")

// ErrDenied says that the account may not do what is needed; trying again is useless.
var ErrDenied = errors.New("the account lacks a privilege")

// ErrDuplicateID says that another replica shows the same server id.
var ErrDuplicateID = errors.New("another replica uses the same server_id")

// plain strips the library's stack traces.
func plain(err error) error { return perrors.Cause(err) }

// classify joins the sentinel that fits a server's error. The server puts most of what
// can be wrong with a position under one number and tells it by words.
func classify(err error) error {
	if err == nil {
		return nil
	}
	err = plain(err)
	var my *mysql.MyError
	if !errors.As(err, &my) {
		return err
	}
	text := strings.ToLower(my.Message)
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(text, p) {
				return true
			}
		}
		return false
	}
	switch my.Code {
	case 1236:
		switch {
		case has("purged", "could not find first log file", "not find gtid state", "missing gtids", "does not have", "cannot find"):
			return fmt.Errorf("%w: %w", ErrPurged, err)
		case has("same server_uuid", "same server_id", "server_uuid/server_id", "slave_uuid"):
			return fmt.Errorf("%w: %w", ErrDuplicateID, err)
		case has("impossible position", "position > file size", "more gtids than", "which is not in the master", "not in the source",
			"bogus data", "log event entry exceeded", "corrupt", "event too", "read error"):
			return fmt.Errorf("%w: %w", ErrBeyond, err)
		}
		return fmt.Errorf("%w: %w", ErrUnreadable, err)
	case 1789: // ER_MASTER_HAS_PURGED_REQUIRED_GTIDS
		return fmt.Errorf("%w: %w", ErrPurged, err)
	case 4052: // MariaDB's ER_SLAVE_SAME_ID
		return fmt.Errorf("%w: %w", ErrDuplicateID, err)
	case 1044, 1045, 1142, 1227, 1698:
		return fmt.Errorf("%w: %w", ErrDenied, err)
	}
	return err
}
