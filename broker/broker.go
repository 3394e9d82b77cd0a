package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path"
	"path/filepath"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/broker/groups"
	"github.com/millrace/millrace/broker/longpoll"
	"github.com/millrace/millrace/broker/offsets"
	"github.com/millrace/millrace/broker/processor"
	"github.com/millrace/millrace/broker/retention"
	"github.com/millrace/millrace/broker/store"
	"github.com/millrace/millrace/broker/topics"
	"github.com/millrace/millrace/broker/txn"
	"github.com/millrace/millrace/broker/writer"
	"github.com/millrace/millrace/internal/version"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting/rpc"
)

// Deps are what commands and tests hand in; all may be left out.
type Deps struct {
	Listener   net.Listener // instead of bindAddress and listenPort
	FS         vfs.FS
	Registerer prometheus.Registerer
	Authorizer processor.Authorizer
	Now        func() time.Time
	Log        *slog.Logger
}

// Broker is one broker. New makes it, Run starts it and returns when it has stopped.
type Broker struct {
	cfg  Config
	deps Deps
	log  *slog.Logger
	addr netip.AddrPort // as clients are told
	ln   net.Listener

	store     *store.Store
	topics    *topics.Registry
	offsets   *offsets.Table
	groups    *groups.Registry
	holds     *longpoll.Table
	writers   *writer.Registry
	txn       *txn.Service
	processor *processor.Processor
	server    *rpc.Server
	names     *registrar
	waiting   waiting // when the store was opened
}

// maxParkedBytes bounds what parked pulls keep, most of which is their filters.
const maxParkedBytes = 256 << 20

// New checks the configuration, listens, and recovers what is in the store's directory.
// It starts nothing; a broker that is not run has to be closed.
func New(cfg Config, deps Deps) (*Broker, error) {
	if deps.FS == nil {
		deps.FS = vfs.OS()
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Log == nil {
		deps.Log = slog.Default()
	}
	cfg.StorePathRootDir, cfg.StorePathCommitLog = filepath.ToSlash(cfg.StorePathRootDir), filepath.ToSlash(cfg.StorePathCommitLog)
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("broker %s: %w", cfg.BrokerName, err)
	}
	if deps.Registerer != nil {
		deps.Registerer = prometheus.WrapRegistererWith(prometheus.Labels{
			"cluster": cfg.BrokerClusterName, "node_type": "broker", "node_id": cfg.BrokerName,
		}, deps.Registerer)
	}
	b := &Broker{cfg: cfg, deps: deps, log: deps.Log, ln: deps.Listener}
	if err := b.listen(); err != nil {
		return nil, err
	}
	if err := b.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("broker %s: %w", cfg.BrokerName, err), b.Close())
	}
	return b, nil
}

func (b *Broker) listen() (err error) {
	if b.ln == nil {
		addr := net.JoinHostPort(b.cfg.BindAddress, strconv.Itoa(b.cfg.ListenPort))
		if b.ln, err = net.Listen("tcp", addr); err != nil {
			return fmt.Errorf("broker %s cannot listen on %s: %w; is another one running? "+
				"--listen (of standalone --broker-listen) or listenPort chooses another port", b.cfg.BrokerName, addr, err)
		}
	}
	at, err := netip.ParseAddrPort(b.ln.Addr().String())
	if err != nil {
		return fmt.Errorf("broker %s listens on %s: %w", b.cfg.BrokerName, b.ln.Addr(), err)
	}
	if b.addr = netip.AddrPortFrom(at.Addr().Unmap(), at.Port()); b.cfg.BrokerIP1 != "" {
		b.addr = netip.AddrPortFrom(netip.MustParseAddr(b.cfg.BrokerIP1), at.Port())
	}
	return nil
}

// open recovers the store and builds everything on it, from below upwards.
func (b *Broker) open() (err error) {
	cfg, fsys, log := b.cfg, b.deps.FS, b.log
	if b.store, err = store.Open(cfg.storeConfig(b.addr), fsys, log, b.deps.Registerer); err != nil {
		return fmt.Errorf("open the store in %s: %w", cfg.StorePathRootDir, err)
	}
	dir := path.Join(cfg.StorePathRootDir, "config")
	if err := vfs.MkdirAllSync(fsys, dir); err != nil {
		return fmt.Errorf("make %s: %w", dir, err)
	}
	if b.topics, err = topics.New(topics.Options{
		FS: fsys, File: path.Join(dir, "topics.json"), AutoCreate: cfg.autoCreate(), DefaultQueues: cfg.DefaultTopicQueueNums,
		Cluster: cfg.BrokerClusterName, Broker: cfg.BrokerName,
		Limits: topics.Limits{Topics: cfg.MaxTopics, QueuesTopic: cfg.MaxQueuesOfTopic, QueuesTotal: cfg.MaxQueues},
		Now:    b.deps.Now, Log: log,
	}); err != nil {
		return err
	}
	b.sayWaiting()
	b.offsets = offsets.New(cfg.MaxConsumerOffsets)
	if err := b.offsets.Load(fsys, b.offsetFile(), log); err != nil {
		return err
	}
	configs, err := groups.NewConfigs(fsys, path.Join(dir, "subscriptionGroup.json"), cfg.MaxGroups, b.deps.Now, log)
	if err != nil {
		return err
	}
	b.groups = groups.NewRegistry(groups.Limits{Groups: cfg.MaxGroups, Members: cfg.MaxMembersOfGroup, Subscriptions: 1000},
		processor.NotifyMembers)
	b.holds = longpoll.New(longpoll.Limits{Total: cfg.PollingMapSize, PerOwner: 4096, Bytes: maxParkedBytes})
	b.writers = writer.New(cfg.writerConfig(), processor.WriterTopics{Registry: b.topics}, b.store, b.deps.Registerer)
	b.store.HoldRetention(retention.New(cfg.holdConfig(), retention.Deps{
		Log: b.store, Offsets: b.offsets, Owner: b.writers.Owner, Metrics: b.deps.Registerer, Logger: log,
	}).Keep)
	if b.txn, err = txn.Open(cfg.txnConfig(), txn.Deps{
		Log: b.store, Writers: b.writers, Producers: processor.TxnProducers{Registry: b.groups}, FS: fsys,
		SnapshotFile: path.Join(dir, "millraceTransactions.json"), BrokerName: cfg.BrokerName, StoreHost: b.addr,
		HalfFloor: func() int64 {
			floor, _ := b.offsets.Get(offsets.Key{Topic: message.TopicTransactionHalf, Group: message.GroupTransactionCheck}, 0)
			return floor
		},
		Queues: func(topic string) int32 {
			if t, ok := b.topics.Get(topic); ok {
				return t.Queues()
			}
			return 0
		},
		Now: b.deps.Now, Logger: log, Metrics: b.deps.Registerer,
	}); err != nil {
		return err
	}
	b.names = newRegistrar(b)
	b.topics.OnChange(b.names.changed)
	b.processor = processor.New(b.processorConfig(), processor.Deps{
		Names: b.names,
		Store: b.store, Topics: b.topics, Offsets: b.offsets, Groups: b.groups, GroupConfigs: configs, Holds: b.holds,
		Txn: b.txn, Writers: b.writers, Metrics: processor.NewMetrics(b.deps.Registerer),
		Authorizer: b.deps.Authorizer, Now: b.deps.Now, Log: log,
	})
	b.store.Subscribe(b.processor)
	b.server = rpc.NewServer(rpc.ServerConfig{MaxConnections: cfg.MaxConnections, Closed: b.closed}, b.processor, log)
	if b.deps.Registerer != nil {
		if err := errors.Join(b.deps.Registerer.Register(b.processor), b.deps.Registerer.Register(remotingMetrics{b.server}),
			b.deps.Registerer.Register(waitingMetrics{b.waiting})); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	return nil
}

func (b *Broker) processorConfig() processor.Config {
	cfg := b.cfg
	return processor.Config{
		BrokerName: cfg.BrokerName, ClusterName: cfg.BrokerClusterName, RegionID: cfg.RegionID, TraceOn: cfg.TraceOn,
		MaxMessageSize: cfg.MaxMessageSize, LongPolling: cfg.LongPollingEnable, ShortPolling: millis(cfg.ShortPollingTimeMills),
		MaxPullMessages: cfg.MaxTransferCount, DefaultPullBytes: int(cfg.MaxTransferBytes), MaxPullBytes: maxPullBytes,
		AutoCreateGroup: cfg.AutoCreateSubscriptionGroup, RejectTransaction: cfg.RejectTransactionMessage,
		WaitingByLevel: b.waiting.levels, WaitingByTimer: b.waiting.timers,
		StoreHost: b.addr, Properties: cfg.properties(b.addr), Version: "Millrace " + version.Number,
	}
}

func (b *Broker) closed(c *rpc.Conn) {
	b.processor.Closed(c)
	b.txn.Closed(c)
}

// Addr is the address that clients are told.
func (b *Broker) Addr() string { return b.addr.String() }

// Err says why the broker takes no messages now; nil when it does.
func (b *Broker) Err() error { return b.store.Err() }

// Close lets go of a broker that is not run (any more).
func (b *Broker) Close() error {
	err := b.ln.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	if b.store != nil {
		err = errors.Join(err, b.store.Close())
	}
	return err
}

// Run serves until ctx ends or the store fails. The parts are stopped one after the
// other, those that use others first.
func (b *Broker) Run(ctx context.Context) error {
	defer b.Close()
	serving, stop := context.WithCancel(ctx)
	defer stop()
	storeCtx, stopStore := context.WithCancel(context.WithoutCancel(ctx))
	defer stopStore()

	storeDone := make(chan error, 1)
	go func() {
		err := b.store.Run(storeCtx)
		stop() // a store that failed ends the broker
		storeDone <- err
	}()
	transactions := start(context.WithoutCancel(ctx), b.txn.Run)
	upkeep := start(serving, b.upkeep)
	holds := start(serving, b.holds.Run)
	names := start(serving, b.names.run)

	b.log.Info("broker listens", slog.String("broker", b.cfg.BrokerName), slog.String("addr", b.Addr()),
		slog.String("store", b.cfg.StorePathRootDir), slog.String("flush", b.cfg.FlushDiskType))
	err := b.server.Serve(serving, b.ln)
	stop()
	err = errors.Join(err, names.wait(), holds.wait(), upkeep.wait())
	b.processor.Join()
	err = errors.Join(err, transactions.stop(), b.flushOffsets())
	stopStore()
	if err = errors.Join(err, <-storeDone); err != nil {
		return fmt.Errorf("broker %s: %w", b.cfg.BrokerName, err)
	}
	b.log.Info("broker stopped", slog.String("broker", b.cfg.BrokerName))
	return nil
}

// task is a service that runs.
type task struct {
	cancel context.CancelFunc
	done   chan error
}

func start(ctx context.Context, run func(context.Context) error) *task {
	ctx, cancel := context.WithCancel(ctx)
	t := &task{cancel: cancel, done: make(chan error, 1)}
	go func() { t.done <- run(ctx) }()
	return t
}

// wait returns when the service has ended by itself.
func (t *task) wait() error {
	defer t.cancel()
	return <-t.done
}

// stop ends the service.
func (t *task) stop() error {
	t.cancel()
	return <-t.done
}

// upkeep flushes consumer offsets and takes silent clients away.
func (b *Broker) upkeep(ctx context.Context) error {
	flush := time.NewTicker(millis(b.cfg.FlushConsumerOffset))
	defer flush.Stop()
	expire := time.NewTicker(10 * time.Second)
	defer expire.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-flush.C:
			if err := b.flushOffsets(); err != nil {
				b.log.Error("consumer offsets cannot be written; they are kept in memory", slog.Any("error", err))
			}
		case <-expire.C:
			b.groups.Expire(b.deps.Now())
		}
	}
}

func (b *Broker) offsetFile() string {
	return path.Join(b.cfg.StorePathRootDir, "config", "consumerOffset.json")
}

func (b *Broker) flushOffsets() error {
	return b.offsets.Flush(b.deps.FS, b.offsetFile(), b.deps.Now())
}
