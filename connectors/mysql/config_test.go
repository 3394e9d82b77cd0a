package mysql

import (
	"strings"
	"testing"
)

func TestAnAddressHasAPort(t *testing.T) {
	for address, right := range map[string]bool{
		"db:3306": true, "[::1]:1": true, "/run/mysqld/mysqld.sock": true,
		"db": false, "db:0": false, "db:99999": false, "db:mysql": false, "": false,
	} {
		c := DefaultConfig()
		c.Address, c.User, c.Tables = address, "u", []string{"shop.*"}
		if err := c.Validate(); (err == nil) != right || err != nil && !strings.Contains(err.Error(), "address: ") {
			t.Errorf("%q: %v", address, err)
		}
	}
}
