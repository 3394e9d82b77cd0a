package store

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"strings"
	"time"

	"github.com/millrace/millrace/message"
)

// FlushDiskType says when a put is answered.
type FlushDiskType string

const (
	// FlushSync answers after fdatasync.
	FlushSync FlushDiskType = "SYNC_FLUSH"
	// FlushAsync answers when the operating system has the bytes, and syncs within
	// Config.FlushInterval.
	FlushAsync FlushDiskType = "ASYNC_FLUSH"
)

// Config of a store. The keys are RocketMQ's where it has them.
type Config struct {
	// Dir is storePathRootDir: commitlog, consumequeue, index and the rest are in it.
	Dir string `yaml:"storePathRootDir"`
	// CommitLogDir is where the log is instead.
	CommitLogDir string `yaml:"storePathCommitLog"`

	FlushDiskType FlushDiskType `yaml:"flushDiskType"`
	// FlushInterval is how long bytes may stay unsynced under FlushAsync.
	FlushInterval time.Duration `yaml:"flushIntervalCommitLog"`
	// SyncFlushTimeout is how long a put waits for a disk that is full or stuck before
	// it is answered with ErrFlushTimeout.
	SyncFlushTimeout time.Duration `yaml:"syncFlushTimeout"`

	FileSizeCommitLog    int64 `yaml:"mappedFileSizeCommitLog"`
	FileSizeConsumeQueue int64 `yaml:"mappedFileSizeConsumeQueue"`
	// IndexSlots and IndexEntries give an index file its size.
	MessageIndexEnable bool  `yaml:"messageIndexEnable"`
	IndexSlots         int32 `yaml:"maxHashSlotNum"`
	IndexEntries       int32 `yaml:"maxIndexNum"`

	// MaxMessageSize limits a body; a batch as a whole has the same limit.
	MaxMessageSize int32 `yaml:"maxMessageSize"`
	// MaxFilterScan is how many entries of a queue one Get passes over at most while
	// its filter finds nothing.
	MaxFilterScan int `yaml:"maxFilterMessageNum"`

	// FileReservedTime is the age at which a log file may go; 0 keeps it for ever.
	FileReservedTime time.Duration `yaml:"fileReservedTime"`
	// RetentionBytes limits the log; 0 does not.
	RetentionBytes int64 `yaml:"retentionBytes"`
	// Above DiskCleanRatio files go before their time, oldest first; above
	// DiskFullRatio writes are refused. 0..1.
	DiskCleanRatio float64 `yaml:"diskSpaceCleanForciblyRatio"`
	DiskFullRatio  float64 `yaml:"diskSpaceWarningLevelRatio"`
	// RetentionInterval is how often retention looks.
	RetentionInterval time.Duration `yaml:"cleanResourceInterval"`

	// CheckpointInterval and CheckpointBytes bound what a restart after a crash has to
	// read again.
	CheckpointInterval time.Duration `yaml:"checkpointInterval"`
	CheckpointBytes    int64         `yaml:"checkpointBytes"`

	// SyncAllAbove is how many changed consume queues a checkpoint syncs one by one; more,
	// with one call for the whole file system.
	SyncAllAbove int `yaml:"syncAllAbove"`

	// PreWriteBytes is how far ahead of the tail blocks are written under FlushSync, so
	// that a sync has no file system journal to wait for. 0 turns it off.
	PreWriteBytes int64 `yaml:"preWriteBytes"`
	// MaxBufferBytes bounds the appends that wait in memory; beyond it Put blocks.
	MaxBufferBytes int `yaml:"maxBufferBytes"`
	// MaxOpenFiles bounds the files held open.
	MaxOpenFiles int `yaml:"maxOpenFiles"`

	// CheckCRCOnRead makes Get verify bodies before it serves them.
	CheckCRCOnRead bool `yaml:"checkCRCOnRead"`
	// AcceptLostTail lets Open go on where it would fail with ErrLostTail, with what is
	// left. Queue offsets that were given out are given out again.
	AcceptLostTail bool `yaml:"acceptLostTail"`

	// StoreHost is the address written into records; offset message ids lead to it.
	StoreHost netip.AddrPort `yaml:"-"`
	// MessageDelayLevel are the levels of SCHEDULE_TOPIC_XXXX: the consume queues of that
	// topic hold the time a message is due where others hold a tag.
	MessageDelayLevel string `yaml:"messageDelayLevel"`
}

// DefaultConfig is RocketMQ's, except where that loses acknowledged messages: it syncs.
func DefaultConfig() Config {
	return Config{
		FlushDiskType:        FlushSync,
		FlushInterval:        500 * time.Millisecond,
		SyncFlushTimeout:     5 * time.Second,
		FileSizeCommitLog:    1 << 30,
		FileSizeConsumeQueue: 300_000 * 20,
		MessageIndexEnable:   true,
		IndexSlots:           5_000_000,
		IndexEntries:         20_000_000,
		MaxMessageSize:       4 << 20,
		MaxFilterScan:        800,
		FileReservedTime:     72 * time.Hour,
		DiskCleanRatio:       0.85,
		DiskFullRatio:        0.90,
		RetentionInterval:    10 * time.Second,
		CheckpointInterval:   time.Minute,
		CheckpointBytes:      128 << 20,
		SyncAllAbove:         64,
		PreWriteBytes:        64 << 20,
		MaxBufferBytes:       32 << 20,
		MaxOpenFiles:         2048,
		CheckCRCOnRead:       true,
		MessageDelayLevel:    "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h",
	}
}

// LogDir is the directory of the commit log.
func (c Config) LogDir() string {
	if c.CommitLogDir != "" {
		return c.CommitLogDir
	}
	return path.Join(c.Dir, "commitlog")
}

// recordOverhead is what a record holds beside its body at most.
const recordOverhead = 128 + message.MaxGroupTopicLen + message.MaxPropertiesLen

// Validate says what cannot work, all of it.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Dir == "" {
		bad("storePathRootDir is missing: where should messages be kept?")
	}
	if strings.ContainsAny(c.CommitLogDir, ",:") {
		bad("storePathCommitLog is %q; several directories are not supported: bring all files of the log into one", c.CommitLogDir)
	}
	if c.FlushDiskType != FlushSync && c.FlushDiskType != FlushAsync {
		bad("flushDiskType is %q; it is %s or %s", c.FlushDiskType, FlushSync, FlushAsync)
	}
	if c.FlushInterval <= 0 || c.SyncFlushTimeout <= 0 || c.RetentionInterval <= 0 || c.CheckpointInterval <= 0 {
		bad("flushIntervalCommitLog, syncFlushTimeout, cleanResourceInterval and checkpointInterval must be above 0")
	}
	if c.MaxMessageSize <= 0 || c.MaxMessageSize > message.MaxBodyLen {
		bad("maxMessageSize is %d; it is 1 to %d", c.MaxMessageSize, message.MaxBodyLen)
	}
	if c.FileSizeCommitLog < 1024 || c.FileSizeCommitLog > 1<<31-1 {
		bad("mappedFileSizeCommitLog is %d; it is 1024 to %d", c.FileSizeCommitLog, 1<<31-1)
	}
	if c.FileSizeConsumeQueue <= 0 || c.FileSizeConsumeQueue%20 != 0 {
		bad("mappedFileSizeConsumeQueue is %d; it is a multiple of the 20 bytes of an entry", c.FileSizeConsumeQueue)
	}
	if c.MessageIndexEnable && (c.IndexSlots < 1 || c.IndexEntries < 2) {
		bad("maxHashSlotNum is %d, maxIndexNum %d; an index file needs at least 1 and 2", c.IndexSlots, c.IndexEntries)
	}
	for name, r := range map[string]float64{"diskSpaceCleanForciblyRatio": c.DiskCleanRatio, "diskSpaceWarningLevelRatio": c.DiskFullRatio} {
		if r <= 0 || r > 1 {
			bad("%s is %v; it is above 0 and at most 1", name, r)
		}
	}
	if c.FileReservedTime < 0 || c.RetentionBytes < 0 || c.PreWriteBytes < 0 || c.CheckpointBytes <= 0 {
		bad("fileReservedTime, retentionBytes and preWriteBytes cannot be negative, checkpointBytes must be above 0")
	}
	if c.MaxBufferBytes < 4096 || c.MaxOpenFiles < 8 || c.MaxFilterScan < 1 || c.SyncAllAbove < 0 {
		bad("maxBufferBytes is at least 4096, maxOpenFiles 8, maxFilterMessageNum 1, syncAllAbove 0")
	}
	if _, err := parseDelayLevels(c.MessageDelayLevel); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
