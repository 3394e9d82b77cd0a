package namesrv

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/millrace/millrace/namesrv/route"
)

// Config of a name server. The keys are RocketMQ's where it has them.
type Config struct {
	ListenPort int `yaml:"listenPort"`
	// BindAddress is the address to listen on; loopback unless said otherwise.
	BindAddress string `yaml:"bindAddress"`
	// KVConfigPath is the file of the key-value configuration; empty keeps it in memory.
	KVConfigPath string `yaml:"kvConfigPath"`
	// ScanNotActiveBrokerInterval is how often silent brokers are looked for, in
	// milliseconds.
	ScanNotActiveBrokerInterval int64 `yaml:"scanNotActiveBrokerInterval"`
	// BrokerTimeout is how long a broker may be silent at most, in milliseconds.
	BrokerTimeout int64 `yaml:"brokerChannelExpiredTime"`
	MaxBrokers    int   `yaml:"maxBrokers"`
	MaxTopics     int   `yaml:"maxTopicsPerBroker"`
	// Insecure allows an address that is not loopback: nobody is authenticated yet.
	Insecure bool `yaml:"insecure"`
}

// DefaultConfig is RocketMQ's, on loopback.
func DefaultConfig() Config {
	return Config{
		ListenPort:                  9876,
		BindAddress:                 "127.0.0.1",
		ScanNotActiveBrokerInterval: 10_000,
		BrokerTimeout:               int64(route.DefaultTimeout / time.Millisecond),
		MaxBrokers:                  1000,
		MaxTopics:                   100_000,
	}
}

// Validate says what cannot work, all of it.
func (c Config) Validate() error {
	var errs []error
	if c.ListenPort < 0 || c.ListenPort > 65535 {
		errs = append(errs, fmt.Errorf("listenPort is %d; a port is 0 to 65535", c.ListenPort))
	}
	ip, err := netip.ParseAddr(c.BindAddress)
	switch {
	case err != nil:
		errs = append(errs, fmt.Errorf("bindAddress is %q, not an IP address; 0.0.0.0 listens on all", c.BindAddress))
	case !ip.IsLoopback() && !c.Insecure:
		errs = append(errs, fmt.Errorf("bindAddress %s can be reached from other machines, and nobody is authenticated; --insecure allows it",
			c.BindAddress))
	}
	if c.ScanNotActiveBrokerInterval <= 0 || c.BrokerTimeout <= 0 {
		errs = append(errs, errors.New("scanNotActiveBrokerInterval and brokerChannelExpiredTime must be above 0"))
	}
	if c.MaxBrokers < 1 || c.MaxTopics < 1 {
		errs = append(errs, errors.New("maxBrokers and maxTopicsPerBroker must be above 0"))
	}
	return errors.Join(errs...)
}
