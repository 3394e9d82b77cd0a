package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/testenv"
)

// system is a broker that can be measured.
type system struct {
	name string
	// minimumWarmth is how long it is under load before it can be at its best.
	minimumWarmth time.Duration
	start         func(ctx context.Context, dir, flush string) (*running, error)
}

// running is a started name server and broker.
type running struct {
	namesrv string
	pid     int // the broker's
	stop    func() error
}

const (
	millraceName = "Millrace"
	againName    = "Millrace again (A/A)"
	rocketmqName = "RocketMQ " + testenv.RocketMQVersion
)

// What both brokers are given beside the way of flushing. A pull may bring as much from
// one as from the other.
var sameSettings = map[string]string{
	"brokerName":                        "broker-a",
	"mappedFileSizeCommitLog":           fmt.Sprint(1 << 30),
	"maxTransferCountOnMessageInMemory": "512",
	"maxTransferBytesOnMessageInMemory": fmt.Sprint(1 << 20),
	"autoCreateTopicEnable":             "false",
	"brokerClusterName":                 "DefaultCluster",
}

const startLimit = time.Minute

// jvmWarmth is how long a JVM's compilers go on under a load.
const jvmWarmth = 20 * time.Second

func (b *bench) millraceSystem(name string) system {
	return system{name: name, start: func(ctx context.Context, dir, flush string) (*running, error) {
		names, err := testenv.FreePort()
		if err != nil {
			return nil, err
		}
		port, err := testenv.FreePort()
		if err != nil {
			return nil, err
		}
		r := &running{namesrv: fmt.Sprintf("127.0.0.1:%d", names)}
		var conf strings.Builder
		for k, v := range sameSettings {
			fmt.Fprintf(&conf, "%s=%s\n", k, v)
		}
		fmt.Fprintf(&conf, "flushDiskType=%s\nlistenPort=%d\nnamesrvAddr=%s\nstorePathRootDir=%s\n", flush, port, r.namesrv,
			filepath.Join(dir, "store"))
		file := filepath.Join(dir, "broker.conf")
		if err := os.WriteFile(file, []byte(conf.String()), 0o644); err != nil {
			return nil, err
		}
		namesrv, err := testenv.StartProcess(dir, "namesrv", []string{"XDG_DATA_HOME=" + dir}, b.binary, "namesrv", "--listen", r.namesrv)
		if err != nil {
			return nil, err
		}
		broker, err := testenv.StartProcess(dir, "broker", nil, b.binary, "broker", "--config", file)
		if err != nil {
			return nil, errors.Join(err, namesrv.Stop(startLimit))
		}
		r.pid = broker.Pid()
		r.stop = func() error { return errors.Join(broker.Stop(startLimit), namesrv.Stop(startLimit)) }
		ctx, cancel := context.WithTimeout(ctx, startLimit)
		defer cancel()
		if err := broker.WaitReady(ctx, func(ctx context.Context) error { return b.registered(ctx, r.namesrv) }); err != nil {
			return nil, errors.Join(err, r.stop())
		}
		return r, nil
	}}
}

// registered looks whether a name server knows the broker.
func (b *bench) registered(ctx context.Context, namesrv string) error {
	out, err := exec.CommandContext(ctx, b.binary, "admin", "cluster", "--namesrv", namesrv).CombinedOutput()
	if err == nil && !strings.Contains(string(out), sameSettings["brokerName"]) {
		err = errors.New("the name server does not know the broker")
	}
	return err
}

func (b *bench) rocketmqSystem(ctx context.Context) (system, error) {
	b.say("looking for Apache RocketMQ %s (the first time Maven fetches it into the cache)", testenv.RocketMQVersion)
	mq, err := testenv.FetchRocketMQ(ctx)
	if err != nil {
		return system{}, err
	}
	return system{name: rocketmqName, minimumWarmth: jvmWarmth, start: func(ctx context.Context, dir, flush string) (*running, error) {
		ctx, cancel := context.WithTimeout(ctx, startLimit)
		defer cancel()
		namesrv, err := mq.StartNamesrv(ctx, dir)
		if err != nil {
			return nil, err
		}
		config := map[string]string{"flushDiskType": flush}
		for k, v := range sameSettings {
			config[k] = v
		}
		broker, err := mq.StartBroker(ctx, dir, namesrv.Addr, testenv.RocketMQBroker{Name: "broker-a", Config: config, Heap: "1g"})
		if err != nil {
			return nil, errors.Join(err, namesrv.Stop())
		}
		// A broker that has done transactions spins on and does not stop in order.
		return &running{namesrv: namesrv.Addr, pid: broker.Pid(), stop: func() error { broker.Kill(); namesrv.Kill(); return nil }}, nil
	}}, nil
}
