package account

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
)

// Session are the statements that every connection runs before it reads: they set each
// session variable that what is read depends on, so that nothing of it comes from the
// server's configuration or from init_connect. Both servers take them; what one of them
// does not know stands in a comment that the other executes.
var Session = []string{
	// Texts are UTF-8, also where the server is told to ignore what the client asks for.
	"SET NAMES utf8mb4",
	"SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
	"SET SESSION" +
		// no row is left out: of a list, of a range, of a large one
		" sql_select_limit=18446744073709551615, max_join_size=18446744073709551615, sql_big_selects=1, sql_safe_updates=0," +
		// a value and a comparison mean one thing
		" sql_mode='', time_zone='+00:00', sql_auto_is_null=0, sql_quote_show_create=1," +
		// each statement sees what is committed, and the end of a transaction ends it alone
		" autocommit=1, completion_type=0," +
		// a reader that is slow is not cut off, and a locked table does not hold it for a year
		" net_write_timeout=3600, net_read_timeout=600, lock_wait_timeout=20" +
		"/*!80000 , max_execution_time=0 */" +
		"/*!80013 , use_secondary_engine=OFF */" + // whose rows may be older
		"/*!80030 , show_gipk_in_create_table_and_information_schema=ON */" + // the log has that column
		"/*M!100100 , max_statement_time=0 */" +
		"/*M!100601 , old_mode='UTF8_IS_UTF8MB3' */",
}

// settle runs Session on a connection of the driver.
func settle(ctx context.Context, conn driver.Conn) error {
	run, ok := conn.(driver.ExecerContext)
	if !ok {
		panic("BUG: the driver's connections run no statements")
	}
	for _, s := range Session {
		if _, err := run.ExecContext(ctx, s, nil); err != nil {
			return errors.Join(fmt.Errorf("set up the session: %w", err), conn.Close())
		}
	}
	return nil
}
