package broker

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/broker/retention"
	"github.com/millrace/millrace/broker/store"
	"github.com/millrace/millrace/broker/txn"
	"github.com/millrace/millrace/broker/writer"
)

// Config of a broker. Keys, units and defaults are RocketMQ's where it has them; the
// deviations are flushDiskType (SYNC_FLUSH), bindAddress (loopback) and
// autoCreateTopicEnable (on loopback only).
type Config struct {
	BrokerClusterName string `yaml:"brokerClusterName"`
	BrokerName        string `yaml:"brokerName"`
	BrokerID          int64  `yaml:"brokerId"`
	BrokerRole        string `yaml:"brokerRole"`
	// NamesrvAddr is host:port of the name servers, with semicolons between.
	NamesrvAddr string `yaml:"namesrvAddr"`

	ListenPort  int    `yaml:"listenPort"`
	BindAddress string `yaml:"bindAddress"`
	// BrokerIP1 is the address that clients are told; empty is the one we listen on.
	BrokerIP1 string `yaml:"brokerIP1"`
	// Insecure allows an address that is not loopback: nobody is authenticated yet.
	Insecure bool `yaml:"insecure"`

	StorePathRootDir string `yaml:"storePathRootDir"`
	// StorePathCommitLog is where the commit log is, when that is not below the root.
	StorePathCommitLog string `yaml:"storePathCommitLog"`
	FlushDiskType      string `yaml:"flushDiskType"`
	// Milliseconds.
	FlushIntervalCommitLog int64 `yaml:"flushIntervalCommitLog"`
	SyncFlushTimeout       int64 `yaml:"syncFlushTimeout"`
	FlushConsumerOffset    int64 `yaml:"flushConsumerOffsetInterval"`
	RegisterNameServer     int64 `yaml:"registerNameServerPeriod"`
	ShortPollingTimeMills  int64 `yaml:"shortPollingTimeMills"`
	CleanResourceInterval  int64 `yaml:"cleanResourceInterval"`
	// FileReservedTime is in hours; RetentionBytes limits the log beside it, 0 does not.
	FileReservedTime int64 `yaml:"fileReservedTime"`
	RetentionBytes   int64 `yaml:"retentionBytes"`
	// What a pipeline's group has not read yet is kept beyond those two up to this age, in
	// hours, and this length of the log; 0 is twice the one that is exceeded.
	HoldReservedTime            int64   `yaml:"holdReservedTime"`
	HoldRetentionBytes          int64   `yaml:"holdRetentionBytes"`
	DiskSpaceCleanForciblyRatio float64 `yaml:"diskSpaceCleanForciblyRatio"`
	DiskSpaceWarningLevelRatio  float64 `yaml:"diskSpaceWarningLevelRatio"`
	MappedFileSizeCommitLog     int64   `yaml:"mappedFileSizeCommitLog"`
	MappedFileSizeConsumeQueue  int64   `yaml:"mappedFileSizeConsumeQueue"`
	MessageIndexEnable          bool    `yaml:"messageIndexEnable"`
	MaxHashSlotNum              int32   `yaml:"maxHashSlotNum"`
	MaxIndexNum                 int32   `yaml:"maxIndexNum"`
	AcceptLostTail              bool    `yaml:"acceptLostTail"`

	MaxMessageSize int32 `yaml:"maxMessageSize"`
	// AutoCreateTopicEnable is on for loopback and off elsewhere when nothing is said.
	AutoCreateTopicEnable       *bool  `yaml:"autoCreateTopicEnable"`
	AutoCreateSubscriptionGroup bool   `yaml:"autoCreateSubscriptionGroup"`
	DefaultTopicQueueNums       int32  `yaml:"defaultTopicQueueNums"`
	RegionID                    string `yaml:"regionId"`
	TraceOn                     bool   `yaml:"traceOn"`
	LongPollingEnable           bool   `yaml:"longPollingEnable"`
	// What one pull gets at most, and in bytes when it does not say.
	MaxTransferCount int   `yaml:"maxTransferCountOnMessageInMemory"`
	MaxTransferBytes int32 `yaml:"maxTransferBytesOnMessageInMemory"`

	// Bounds of what clients can make the broker hold.
	MaxTopics          int   `yaml:"maxTopics"`
	MaxQueuesOfTopic   int32 `yaml:"maxQueuesOfTopic"`
	MaxQueues          int64 `yaml:"maxQueues"`
	MaxGroups          int   `yaml:"maxGroups"`
	MaxMembersOfGroup  int   `yaml:"maxMembersOfGroup"`
	MaxConsumerOffsets int   `yaml:"maxConsumerOffsets"`
	PollingMapSize     int   `yaml:"pullPollingMapSize"`
	MaxConnections     int   `yaml:"maxConnections"`

	RejectTransactionMessage bool `yaml:"rejectTransactionMessage"`
	// Milliseconds.
	TransactionTimeOut       int64 `yaml:"transactionTimeOut"`
	TransactionCheckInterval int64 `yaml:"transactionCheckInterval"`
	TransactionCheckMax      int   `yaml:"transactionCheckMax"`
	WriterCheckInterval      int64 `yaml:"writerCheckInterval"`
	// MaxPendingBytes bounds the undecided messages of one writer.
	MaxPendingBytes int64 `yaml:"maxPendingBytes"`
}

// DefaultConfig is a master on loopback.
func DefaultConfig() Config {
	s, t, w := store.DefaultConfig(), txn.DefaultConfig(), writer.DefaultConfig()
	name, err := os.Hostname()
	if err != nil || !nameForm.MatchString(name) {
		name = "DEFAULT_BROKER"
	}
	return Config{
		BrokerClusterName:           "DefaultCluster",
		BrokerName:                  name,
		BrokerRole:                  "ASYNC_MASTER",
		NamesrvAddr:                 "127.0.0.1:9876",
		ListenPort:                  10911,
		BindAddress:                 "127.0.0.1",
		FlushDiskType:               string(s.FlushDiskType),
		FlushIntervalCommitLog:      s.FlushInterval.Milliseconds(),
		SyncFlushTimeout:            s.SyncFlushTimeout.Milliseconds(),
		FlushConsumerOffset:         5000,
		RegisterNameServer:          30_000,
		ShortPollingTimeMills:       1000,
		CleanResourceInterval:       s.RetentionInterval.Milliseconds(),
		FileReservedTime:            int64(s.FileReservedTime / time.Hour),
		DiskSpaceCleanForciblyRatio: s.DiskCleanRatio,
		DiskSpaceWarningLevelRatio:  s.DiskFullRatio,
		MappedFileSizeCommitLog:     s.FileSizeCommitLog,
		MappedFileSizeConsumeQueue:  s.FileSizeConsumeQueue,
		MessageIndexEnable:          s.MessageIndexEnable,
		MaxHashSlotNum:              s.IndexSlots,
		MaxIndexNum:                 s.IndexEntries,
		MaxMessageSize:              s.MaxMessageSize,
		AutoCreateSubscriptionGroup: true,
		DefaultTopicQueueNums:       8,
		RegionID:                    "DefaultRegion",
		TraceOn:                     true,
		LongPollingEnable:           true,
		MaxTransferCount:            4096,
		MaxTransferBytes:            256 << 10,
		MaxTopics:                   50_000,
		MaxQueuesOfTopic:            1024,
		MaxQueues:                   200_000,
		MaxGroups:                   20_000,
		MaxMembersOfGroup:           10_000,
		MaxConsumerOffsets:          1_000_000,
		PollingMapSize:              100_000,
		MaxConnections:              10_000,
		TransactionTimeOut:          t.Timeout.Milliseconds(),
		TransactionCheckInterval:    t.CheckInterval.Milliseconds(),
		TransactionCheckMax:         t.CheckMax,
		WriterCheckInterval:         t.WriterCheckInterval.Milliseconds(),
		MaxPendingBytes:             w.MaxPendingBytes,
	}
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,127}$`)

// recordRoom is what a record has beside its body at most: head, topic, properties, and
// the blank at a file's end.
const recordRoom = 40 << 10

// maxPullBytes is the most that one pull gets, however much it asks for.
const maxPullBytes = 4 << 20

// Validate says what cannot work, all of it, including what the parts say.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for key, name := range map[string]string{"brokerName": c.BrokerName, "brokerClusterName": c.BrokerClusterName} {
		if !nameForm.MatchString(name) {
			bad("%s is %q; it has 1 to 127 of the characters a-z A-Z 0-9 _ -", key, name)
		}
	}
	if c.BrokerRole != "ASYNC_MASTER" || c.BrokerID != 0 {
		bad("brokerRole is %s, brokerId %d; there is no replication yet: ASYNC_MASTER and 0", c.BrokerRole, c.BrokerID)
	}
	c.validateAddresses(bad)
	positive := map[string]int64{
		"flushConsumerOffsetInterval": c.FlushConsumerOffset, "registerNameServerPeriod": c.RegisterNameServer,
		"shortPollingTimeMills": c.ShortPollingTimeMills, "defaultTopicQueueNums": int64(c.DefaultTopicQueueNums),
		"maxTransferCountOnMessageInMemory": int64(c.MaxTransferCount), "maxTransferBytesOnMessageInMemory": int64(c.MaxTransferBytes),
		"maxTopics": int64(c.MaxTopics), "maxQueuesOfTopic": int64(c.MaxQueuesOfTopic), "maxQueues": c.MaxQueues,
		"maxGroups": int64(c.MaxGroups), "maxMembersOfGroup": int64(c.MaxMembersOfGroup),
		"maxConsumerOffsets": int64(c.MaxConsumerOffsets), "pullPollingMapSize": int64(c.PollingMapSize),
		"maxConnections": int64(c.MaxConnections),
	}
	for key, n := range positive {
		if n < 1 {
			bad("%s is %d; it must be above 0", key, n)
		}
	}
	if c.MaxTransferBytes > maxPullBytes {
		bad("maxTransferBytesOnMessageInMemory is %d; it is at most %d", c.MaxTransferBytes, maxPullBytes)
	}
	if room := c.MappedFileSizeCommitLog - recordRoom; int64(c.MaxMessageSize) > room {
		bad("maxMessageSize is %d; a file of mappedFileSizeCommitLog %d has room for a message of %d", c.MaxMessageSize,
			c.MappedFileSizeCommitLog, room)
	}
	if c.MaxMessageSize > 15<<20 {
		bad("maxMessageSize is %d; a frame has room for %d", c.MaxMessageSize, 15<<20)
	}
	if c.HoldReservedTime < 0 || c.HoldRetentionBytes < 0 {
		bad("holdReservedTime is %d and holdRetentionBytes %d; neither is below 0", c.HoldReservedTime, c.HoldRetentionBytes)
	}
	errs = append(errs, c.storeConfig(netip.AddrPort{}).Validate(), c.txnConfig().Validate(), c.writerConfig().Validate())
	return errors.Join(errs...)
}

func (c Config) validateAddresses(bad func(string, ...any)) {
	if c.ListenPort < 0 || c.ListenPort > 65535 {
		bad("listenPort is %d; a port is 0 to 65535", c.ListenPort)
	}
	ip, err := netip.ParseAddr(c.BindAddress)
	switch {
	case err != nil:
		bad("bindAddress is %q, not an IP address; 0.0.0.0 listens on all", c.BindAddress)
	case !ip.IsLoopback() && !c.Insecure:
		bad("bindAddress %s can be reached from other machines, and nobody is authenticated; --insecure allows it", c.BindAddress)
	case ip.IsUnspecified() && c.BrokerIP1 == "":
		bad("bindAddress is %s; brokerIP1 must say at which address clients reach this broker", c.BindAddress)
	}
	if c.BrokerIP1 != "" {
		if _, err := netip.ParseAddr(c.BrokerIP1); err != nil {
			bad("brokerIP1 is %q, not an IP address: message ids carry it", c.BrokerIP1)
		}
	}
	for _, addr := range c.nameServers() {
		if host, port, err := net.SplitHostPort(addr); err != nil || host == "" || port == "" {
			bad("namesrvAddr holds %q, not host:port; several have semicolons between them", addr)
		}
	}
}

// nameServers cuts namesrvAddr; empty is a broker that nobody is told of.
func (c Config) nameServers() []string {
	var list []string
	for addr := range strings.SplitSeq(c.NamesrvAddr, ";") {
		if addr = strings.TrimSpace(addr); addr != "" {
			list = append(list, addr)
		}
	}
	return list
}

func (c Config) loopback() bool {
	ip, err := netip.ParseAddr(c.BindAddress)
	return err == nil && ip.IsLoopback()
}

func (c Config) autoCreate() bool {
	if c.AutoCreateTopicEnable != nil {
		return *c.AutoCreateTopicEnable
	}
	return c.loopback()
}

func millis(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

func (c Config) storeConfig(host netip.AddrPort) store.Config {
	s := store.DefaultConfig()
	s.Dir, s.CommitLogDir = c.StorePathRootDir, c.StorePathCommitLog
	s.FlushDiskType = store.FlushDiskType(c.FlushDiskType)
	s.FlushInterval = millis(c.FlushIntervalCommitLog)
	s.SyncFlushTimeout = millis(c.SyncFlushTimeout)
	s.FileReservedTime = time.Duration(c.FileReservedTime) * time.Hour
	s.RetentionBytes = c.RetentionBytes
	s.RetentionInterval = millis(c.CleanResourceInterval)
	s.DiskCleanRatio, s.DiskFullRatio = c.DiskSpaceCleanForciblyRatio, c.DiskSpaceWarningLevelRatio
	s.FileSizeCommitLog, s.FileSizeConsumeQueue = c.MappedFileSizeCommitLog, c.MappedFileSizeConsumeQueue
	s.MessageIndexEnable, s.IndexSlots, s.IndexEntries = c.MessageIndexEnable, c.MaxHashSlotNum, c.MaxIndexNum
	s.MaxMessageSize = c.MaxMessageSize
	s.AcceptLostTail = c.AcceptLostTail
	s.StoreHost = host
	return s
}

// holdConfig is the bound of what is kept for pipelines.
func (c Config) holdConfig() retention.Config {
	hours, bytes := c.HoldReservedTime, c.HoldRetentionBytes
	if hours == 0 {
		hours = 2 * c.FileReservedTime
	}
	if bytes == 0 {
		bytes = 2 * c.RetentionBytes
	}
	return retention.Config{Time: time.Duration(hours) * time.Hour, Bytes: bytes}
}

func (c Config) txnConfig() txn.Config {
	t := txn.DefaultConfig()
	t.Timeout, t.CheckInterval = millis(c.TransactionTimeOut), millis(c.TransactionCheckInterval)
	t.CheckMax, t.WriterCheckInterval = c.TransactionCheckMax, millis(c.WriterCheckInterval)
	return t
}

func (c Config) writerConfig() writer.Config {
	w := writer.DefaultConfig()
	w.MaxPendingBytes = c.MaxPendingBytes
	return w
}

// properties is what tools see of the configuration with code 26. There are no secrets
// in it.
func (c Config) properties(addr netip.AddrPort) map[string]string {
	n := func(v int64) string { return strconv.FormatInt(v, 10) }
	return map[string]string{
		"brokerClusterName": c.BrokerClusterName, "brokerName": c.BrokerName, "brokerId": n(c.BrokerID), "brokerRole": c.BrokerRole,
		"namesrvAddr": c.NamesrvAddr, "listenPort": n(int64(addr.Port())), "brokerIP1": addr.Addr().String(),
		"storePathRootDir": c.StorePathRootDir, "storePathCommitLog": c.storeConfig(addr).LogDir(), "flushDiskType": c.FlushDiskType,
		"fileReservedTime": n(c.FileReservedTime),
		"maxMessageSize":   n(int64(c.MaxMessageSize)), "autoCreateTopicEnable": strconv.FormatBool(c.autoCreate()),
		"autoCreateSubscriptionGroup": strconv.FormatBool(c.AutoCreateSubscriptionGroup),
		"defaultTopicQueueNums":       n(int64(c.DefaultTopicQueueNums)), "brokerPermission": "6",
		"longPollingEnable": strconv.FormatBool(c.LongPollingEnable), "transactionTimeOut": n(c.TransactionTimeOut),
		"transactionCheckInterval": n(c.TransactionCheckInterval), "transactionCheckMax": n(int64(c.TransactionCheckMax)),
	}
}
