package main

import (
	"context"
	"database/sql"
	"fmt"
)

// tables make the order database: all common types, a composite key, a table without a
// key, latin1 and utf8mb4 text.
var tables = []string{
	`CREATE TABLE shop.customers (
		id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
		email VARCHAR(120) CHARACTER SET utf8mb4 NOT NULL,
		name VARCHAR(80) CHARACTER SET latin1 NOT NULL,
		birthday DATE NULL,
		balance DECIMAL(14,4) NOT NULL,
		interests SET('books','music','garden','tools') NOT NULL,
		vip BIT(1) NOT NULL,
		created DATETIME(6) NOT NULL,
		updated TIMESTAMP(3) NULL) DEFAULT CHARSET=utf8mb4`,
	`CREATE TABLE shop.products (
		sku CHAR(12) CHARACTER SET ascii NOT NULL PRIMARY KEY,
		title VARCHAR(120) CHARACTER SET utf8mb4 NOT NULL,
		price DECIMAL(10,2) NOT NULL,
		weight FLOAT NULL,
		rating DOUBLE NULL,
		attributes JSON NULL,
		thumbnail VARBINARY(32) NULL,
		kind ENUM('new','used','refurbished') NOT NULL,
		stock MEDIUMINT UNSIGNED NOT NULL,
		since YEAR NOT NULL,
		handling TIME(3) NULL) DEFAULT CHARSET=utf8mb4`,
	`CREATE TABLE shop.orders (
		id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
		customer_id BIGINT UNSIGNED NOT NULL,
		status ENUM('new','paid','shipped','returned','cancelled') NOT NULL,
		total DECIMAL(12,2) NOT NULL,
		note TEXT CHARACTER SET utf8mb4 NULL,
		placed_at DATETIME(6) NOT NULL,
		updated_at TIMESTAMP(6) NULL,
		KEY (customer_id)) DEFAULT CHARSET=utf8mb4`,
	`CREATE TABLE shop.order_items (
		order_id BIGINT NOT NULL,
		line SMALLINT UNSIGNED NOT NULL,
		sku CHAR(12) CHARACTER SET ascii NOT NULL,
		quantity TINYINT UNSIGNED NOT NULL,
		price DECIMAL(10,2) NOT NULL,
		PRIMARY KEY (order_id, line)) DEFAULT CHARSET=utf8mb4`,
	`CREATE TABLE shop.payments (
		id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
		order_id BIGINT NOT NULL,
		amount DECIMAL(12,2) NOT NULL,
		method VARCHAR(20) CHARACTER SET latin1 NOT NULL,
		token BINARY(16) NOT NULL,
		place POINT NULL,
		paid_at DATETIME(6) NOT NULL) DEFAULT CHARSET=utf8mb4`,
	`CREATE TABLE shop.audit (
		at DATETIME(3) NOT NULL,
		who VARCHAR(40) CHARACTER SET latin1 NOT NULL,
		what VARCHAR(60) CHARACTER SET utf8mb4 NOT NULL,
		amount INT NULL) DEFAULT CHARSET=utf8mb4`,
}

// fills put rows in on the server's side; %d is the number of rows.
var fills = []struct {
	table string
	share int // of a million
	query string
}{
	{"customers", 100_000, `INSERT INTO shop.customers SELECT n+1, CONCAT('user', n, '@example.com'),
		CONCAT('Ren', CHAR(233 USING latin1), ' ', n), IF(n%%7=0, NULL, DATE_ADD('1950-01-01', INTERVAL n%%20000 DAY)),
		n*1.0625 - 50000, n%%16, n%%2, DATE_ADD('2020-01-01 00:00:00.000001', INTERVAL n SECOND),
		IF(n%%5=0, NULL, DATE_ADD('2021-06-01 12:00:00.125', INTERVAL n SECOND)) FROM tools.numbers WHERE n < %d`},
	{"products", 10_000, `INSERT INTO shop.products SELECT CONCAT('SKU', LPAD(n, 8, '0')), CONCAT('Größe ', n, ' 🚲'),
		(n%%9000)/100, n*0.1, IF(n%%3=0, NULL, n/7), IF(n%%4=0, NULL, JSON_OBJECT('color', n%%7, 'name', CONCAT('ü', n))),
		IF(n%%5=0, NULL, UNHEX(MD5(n))), 1+n%%3, n%%1000, 1990+n%%30, IF(n%%6=0, NULL, SEC_TO_TIME(n/8 - 500)) FROM tools.numbers WHERE n < %d`},
	{"orders", 400_000, `INSERT INTO shop.orders SELECT n+1, 1+(n*7919)%%100000, 1+n%%5, (n%%100000)/100,
		IF(n%%3=0, NULL, CONCAT('note – ', n)), DATE_ADD('2024-01-01 00:00:00.5', INTERVAL n SECOND), NULL FROM tools.numbers WHERE n < %d`},
	{"order_items", 400_000, `INSERT INTO shop.order_items SELECT 1+n DIV 2, 1+n%%2, CONCAT('SKU', LPAD(n%%10000, 8, '0')),
		1+n%%9, (n%%9000)/100 FROM tools.numbers WHERE n < %d`},
	{"payments", 80_000, `INSERT INTO shop.payments SELECT n+1, n+1, (n%%100000)/100, ELT(1+n%%3, 'card', 'caf` + "\xc3\xa9" + `', 'invoice'),
		UNHEX(MD5(n)), IF(n%%4=0, NULL, POINT(n%%180, n%%90)), DATE_ADD('2024-01-01', INTERVAL n SECOND) FROM tools.numbers WHERE n < %d`},
	{"audit", 20_000, `INSERT INTO shop.audit SELECT DATE_ADD('2024-01-01', INTERVAL n DIV 4 SECOND), CONCAT('clerk', n%%10),
		CONCAT('step ', n%%3), IF(n%%2=0, NULL, n%%4) FROM tools.numbers WHERE n < %d`},
}

const million = 1_010_000

// createDatabase makes the tables and fills them with about rows rows in all.
func createDatabase(ctx context.Context, db *sql.DB, rows int, say func(string, ...any)) error {
	statements := append([]string{
		"SET GLOBAL max_allowed_packet = 64*1024*1024",
		"CREATE DATABASE shop", "CREATE DATABASE tools",
		"CREATE TABLE tools.digits (d INT PRIMARY KEY)",
		"INSERT INTO tools.digits VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)",
		"CREATE TABLE tools.numbers (n INT PRIMARY KEY)",
		`INSERT INTO tools.numbers SELECT a.d+10*b.d+100*c.d+1000*e.d+10000*f.d+100000*g.d
			FROM tools.digits a, tools.digits b, tools.digits c, tools.digits e, tools.digits f, tools.digits g WHERE g.d < 4`,
		"CREATE USER 'millrace'@'%' IDENTIFIED BY 'millrace-demo'",
		"GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'millrace'@'%'",
	}, tables...)
	for _, s := range statements {
		if _, err := db.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%.60s…: %w", s, err)
		}
	}
	total := 0
	say("filling %d tables with about %d rows (some ten seconds, longer when the machine is busy)", len(fills), rows)
	for _, f := range fills {
		n := max(1000, int(int64(f.share)*int64(rows)/million))
		if _, err := db.ExecContext(ctx, fmt.Sprintf(f.query, n)); err != nil {
			return fmt.Errorf("fill %s: %w", f.table, err)
		}
		total += n
	}
	say("the database shop has %d rows in %d tables", total, len(fills))
	return nil
}
