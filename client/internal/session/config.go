package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/millrace/millrace/remoting/rpc"
)

// Credentials sign requests the way RocketMQ's ACL 1.0 and 2.0 check them.
type Credentials struct {
	AccessKey, SecretKey, SecurityToken string
}

// Config is what all roles have in common.
type Config struct {
	NameServers       []string
	Logger            *slog.Logger
	Dialer            func(ctx context.Context, network, addr string) (net.Conn, error)
	Hooks             []rpc.Hook
	Credentials       Credentials
	InstanceName      string
	ClientIP          netip.Addr
	NameServerTimeout time.Duration
	RequestTimeout    time.Duration // of a request to a broker whose role names no other
	RouteRefresh      time.Duration
	HeartbeatInterval time.Duration
	RetryBackoff      time.Duration // between attempts after a lost connection
}

// DefaultConfig returns RocketMQ's client defaults.
func DefaultConfig() Config {
	return Config{
		NameServerTimeout: 3 * time.Second,
		RequestTimeout:    5 * time.Second,
		RouteRefresh:      30 * time.Second,
		HeartbeatInterval: 30 * time.Second,
		RetryBackoff:      time.Second,
	}
}

// ParseNameServers splits "a:9876;b:9876".
func ParseNameServers(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ';' || r == ',' || r == ' ' })
}

// Validate says everything that is wrong.
func (c *Config) Validate() error {
	var errs []error
	if len(c.NameServers) == 0 {
		errs = append(errs, errors.New(`no name server: pass WithNameServers("host:9876")`))
	}
	for _, a := range c.NameServers {
		if _, _, err := net.SplitHostPort(a); err != nil {
			errs = append(errs, fmt.Errorf("name server %q: want host:port: %w", a, err))
		}
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"name server timeout", c.NameServerTimeout}, {"request timeout", c.RequestTimeout},
		{"route refresh", c.RouteRefresh}, {"heartbeat interval", c.HeartbeatInterval}, {"retry back-off", c.RetryBackoff},
	} {
		if d.value <= 0 {
			errs = append(errs, fmt.Errorf("%s must be positive, not %s", d.name, d.value))
		}
	}
	if (c.Credentials.AccessKey == "") != (c.Credentials.SecretKey == "") {
		errs = append(errs, errors.New("credentials need both an access key and a secret key"))
	}
	if strings.ContainsAny(c.InstanceName, "@%") {
		errs = append(errs, fmt.Errorf("instance name %q: @ and %% are not allowed", c.InstanceName))
	}
	return errors.Join(errs...)
}
