package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/millrace/millrace/client/internal/session"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting/rpc"
)

// An option belongs to the roles whose type it has; an Option belongs to all.
type (
	// ProducerOption configures a Producer.
	ProducerOption interface{ applyProducer(*producerConfig) }
	// ConsumerOption configures a PushConsumer.
	ConsumerOption interface{ applyConsumer(*consumerConfig) }
	// WriterOption configures a Writer.
	WriterOption interface{ applyWriter(*writerConfig) }
	// ReaderOption configures a Reader.
	ReaderOption interface{ applyReader(*readerConfig) }
	// Option configures any role, and package admin's client.
	Option interface {
		ProducerOption
		ConsumerOption
		WriterOption
		ReaderOption
		ApplySession(*session.Config)
	}
	// Hook sees every request and every answer, and may fail, delay or drop them.
	Hook = rpc.Hook
)

type sharedOption func(*session.Config)

func (f sharedOption) applyProducer(c *producerConfig) { f(&c.session) }
func (f sharedOption) applyConsumer(c *consumerConfig) { f(&c.session) }
func (f sharedOption) applyWriter(c *writerConfig)     { f(&c.session) }
func (f sharedOption) applyReader(c *readerConfig)     { f(&c.session) }

// ApplySession is for this module's packages.
func (f sharedOption) ApplySession(c *session.Config) { f(c) }

// WithNameServers says where the cluster is found: "host:9876;other:9876".
func WithNameServers(addrs string) Option {
	return sharedOption(func(c *session.Config) { c.NameServers = session.ParseNameServers(addrs) })
}

// WithLogger gives the client a logger; without one it is silent.
func WithLogger(l *slog.Logger) Option {
	return sharedOption(func(c *session.Config) { c.Logger = l })
}

// WithDialer replaces how connections are made.
func WithDialer(dial func(ctx context.Context, network, addr string) (net.Conn, error)) Option {
	return sharedOption(func(c *session.Config) { c.Dialer = dial })
}

// WithHook lets h see every request and answer. Tests of faults are made of hooks.
func WithHook(h Hook) Option {
	return sharedOption(func(c *session.Config) { c.Hooks = append(c.Hooks, h) })
}

// WithCredentials signs every request for brokers with authentication.
func WithCredentials(accessKey, secretKey, securityToken string) Option {
	return sharedOption(func(c *session.Config) {
		c.Credentials = session.Credentials{AccessKey: accessKey, SecretKey: secretKey, SecurityToken: securityToken}
	})
}

// WithInstanceName tells clients of one process apart in tools. Without it every client
// gets a name of its own.
func WithInstanceName(name string) Option {
	return sharedOption(func(c *session.Config) { c.InstanceName = name })
}

// WithClientIP sets the address in the client's id and its message ids, instead of the
// first one of this machine.
func WithClientIP(ip netip.Addr) Option {
	return sharedOption(func(c *session.Config) { c.ClientIP = ip })
}

// WithRequestTimeout bounds requests to brokers and name servers that no option of a
// role bounds.
func WithRequestTimeout(d time.Duration) Option {
	return sharedOption(func(c *session.Config) { c.RequestTimeout, c.NameServerTimeout = d, d })
}

// WithRouteRefresh sets how often routes are asked for anew.
func WithRouteRefresh(d time.Duration) Option {
	return sharedOption(func(c *session.Config) { c.RouteRefresh = d })
}

// WithHeartbeatInterval sets how often brokers hear of this client.
func WithHeartbeatInterval(d time.Duration) Option {
	return sharedOption(func(c *session.Config) { c.HeartbeatInterval = d })
}

// WithRetryBackoff sets the pause between attempts at a peer that is away.
func WithRetryBackoff(d time.Duration) Option {
	return sharedOption(func(c *session.Config) { c.RetryBackoff = d })
}

// groupOption names the group of a producer, consumer or reader.
type groupOption string

// GroupOption is an option of every role that has a group.
type GroupOption interface {
	ProducerOption
	ReaderOption
}

// WithGroup names the producer group, or the group under which a Reader keeps offsets.
func WithGroup(name string) GroupOption { return groupOption(name) }

func (g groupOption) applyProducer(c *producerConfig) { c.group = string(g) }
func (g groupOption) applyReader(c *readerConfig)     { c.group = string(g) }

// sendOption is an option of the roles that send.
type sendOption func(*sendConfig)

// SendOption configures a Producer or a Writer.
type SendOption interface {
	ProducerOption
	WriterOption
}

func (f sendOption) applyProducer(c *producerConfig) { f(&c.send) }
func (f sendOption) applyWriter(c *writerConfig)     { f(&c.send) }

// WithSendTimeout bounds one attempt of a send (3 s; a Writer's 10 s, its openings' too).
func WithSendTimeout(d time.Duration) SendOption {
	return sendOption(func(c *sendConfig) { c.timeout = d })
}

// WithCompression compresses bodies of at least threshold bytes. A threshold below 0
// turns compression off. Default: zlib from 4096 bytes; a Writer does not compress.
func WithCompression(kind message.Compression, threshold int) SendOption {
	return sendOption(func(c *sendConfig) { c.compression, c.compressFrom = kind, threshold })
}

// WithMaxInFlight bounds the messages and bytes that wait for an answer; sends block
// until there is room. Default 4096 messages, 64 MiB.
func WithMaxInFlight(messages int, bytes int64) SendOption {
	return sendOption(func(c *sendConfig) { c.maxMessages, c.maxBytes = messages, bytes })
}

// WithMaxMessageSize is the largest body that is sent (4 MiB).
func WithMaxMessageSize(bytes int) SendOption {
	return sendOption(func(c *sendConfig) { c.maxBody = bytes })
}

// sendConfig is shared by Producer and Writer.
type sendConfig struct {
	timeout      time.Duration
	compression  message.Compression
	compressFrom int
	maxMessages  int
	maxBytes     int64
	maxBody      int
}

func defaultSendConfig() sendConfig {
	return sendConfig{
		timeout: 3 * time.Second, compression: message.CompressionZLIB, compressFrom: 4096,
		maxMessages: 4096, maxBytes: 64 << 20, maxBody: 4 << 20,
	}
}

func (c *sendConfig) validate() error {
	var errs []error
	if c.timeout <= 0 {
		errs = append(errs, fmt.Errorf("send timeout must be positive, not %s", c.timeout))
	}
	if c.maxMessages <= 0 || c.maxBytes <= 0 {
		errs = append(errs, fmt.Errorf("limits in flight must be positive, not %d messages, %d bytes", c.maxMessages, c.maxBytes))
	}
	if c.maxBody <= 0 || c.maxBody > message.MaxBodyLen {
		errs = append(errs, fmt.Errorf("max message size must be in 1..%d, not %d", message.MaxBodyLen, c.maxBody))
	}
	switch c.compression {
	case message.CompressionLegacy, message.CompressionLZ4, message.CompressionZSTD, message.CompressionZLIB:
	default:
		errs = append(errs, fmt.Errorf("no compression type %d", c.compression))
	}
	return errors.Join(errs...)
}
