package readback

// settings make sessions that read the same whatever the server's global settings are:
// limits on rows and time, modes that change how values are shown, what others have not
// committed. They are written out, for DEFAULT would be the server's own.
func settings() map[string]string {
	const all = "18446744073709551615"
	return map[string]string{
		// What only one of the two servers knows stands in comments that the other passes over.
		"time_zone": "'+00:00' /*!50720 , transaction_isolation = 'REPEATABLE-READ', max_execution_time = 0 */" +
			" /*M!100101 , tx_isolation = 'REPEATABLE-READ', max_statement_time = 0 */",
		"sql_mode": "''", "sql_select_limit": all, "max_join_size": all, "sql_big_selects": "1", "sql_safe_updates": "0",
		"sql_auto_is_null": "0", "net_write_timeout": "3600", "net_read_timeout": "600", "autocommit": "1",
	}
}
