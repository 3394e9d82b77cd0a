package testenv

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// RocketMQVersion is the release of Apache RocketMQ that stands as oracle and as peer.
const RocketMQVersion = "5.5.0"

//go:embed rocketmq-pom.xml
var rocketmqPom []byte

// RocketMQ is an unpacked Apache RocketMQ with all its programs.
type RocketMQ struct {
	Lib  string // directory of its jars
	java string
}

// FetchRocketMQ returns Apache RocketMQ, fetched through Maven when it is not in the
// cache. It needs a JDK of 17 or later, and Maven the first time.
func FetchRocketMQ(ctx context.Context) (*RocketMQ, error) {
	java, err := tool(ctx, "java", "default-jdk-headless")
	if err != nil {
		return nil, err
	}
	dir, err := Cached(ctx, "rocketmq-"+RocketMQVersion, func(ctx context.Context, dir string) error {
		mvn, err := tool(ctx, "mvn", "maven")
		if err != nil {
			return err
		}
		pom := filepath.Join(dir, "pom.xml")
		if err := os.WriteFile(pom, rocketmqPom, 0o644); err != nil {
			return err
		}
		out, err := exec.CommandContext(ctx, mvn, "-q", "-B", "-f", pom, "dependency:copy-dependencies",
			"-DoutputDirectory="+filepath.Join(dir, "lib")).CombinedOutput()
		if err != nil {
			return fmt.Errorf("mvn dependency:copy-dependencies: %w: %s", err, tail(out, 2000))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &RocketMQ{Lib: filepath.Join(dir, "lib"), java: java}, nil
}

// NeedRocketMQ is FetchRocketMQ for tests; MILLRACE_SKIP knows it as rocketmq.
func NeedRocketMQ(t testing.TB) *RocketMQ {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	r, err := FetchRocketMQ(ctx)
	if err != nil {
		Missing(t, "rocketmq", err)
	}
	return r
}

// jvmArgs are what the servers need of a JVM. Home is where they keep their logs, and whatever
// they would leave in the machine's directory of temporary files: certificates, libraries.
func (r *RocketMQ) jvmArgs(home string) []string {
	return []string{
		"-Duser.home=" + home, "-Drocketmq.home.dir=" + home, "-Djava.io.tmpdir=" + filepath.Join(home, "tmp"), "-XX:-UsePerfData",
		"--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED",
		"--add-exports=java.base/sun.nio.ch=ALL-UNNAMED",
		"--add-opens=java.base/java.nio=ALL-UNNAMED",
		"--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
		"-cp", filepath.Join(r.Lib, "*"),
	}
}

// makeHome makes the directory that a server takes for its installation.
func makeHome(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return dir, errors.Join(os.MkdirAll(filepath.Join(dir, "conf"), 0o755), os.MkdirAll(filepath.Join(dir, "tmp"), 0o755))
}

// Run runs a main class of RocketMQ's to its end, in a directory for its logs, and
// returns what it printed without the lines of the logging library.
func (r *RocketMQ) Run(ctx context.Context, dir, mainClass string, args ...string) (string, error) {
	home, err := makeHome(dir)
	if err != nil {
		return "", err
	}
	argv := append([]string{"-Xmx256m"}, r.jvmArgs(home)...)
	cmd := exec.CommandContext(ctx, r.java, append(append(argv, mainClass), args...)...)
	cmd.Env = append(os.Environ(), "ROCKETMQ_HOME="+home)
	out, err := cmd.CombinedOutput()
	var kept strings.Builder
	for line := range strings.Lines(string(out)) {
		if !strings.Contains(line, "|-") && !strings.HasPrefix(line, "RocketMQLog:") {
			kept.WriteString(line)
		}
	}
	if err != nil {
		return kept.String(), fmt.Errorf("java %s %s: %w: %s", mainClass, strings.Join(args, " "), err, tail([]byte(kept.String()), 2000))
	}
	return kept.String(), nil
}

// Admin runs mqadmin with a sub-command against the name server at namesrv.
func (r *RocketMQ) Admin(ctx context.Context, dir, namesrv string, args ...string) (string, error) {
	return r.Run(ctx, dir, "org.apache.rocketmq.tools.command.MQAdminStartup", append(args, "-n", namesrv)...)
}

// RocketMQServer is a running name server or broker.
type RocketMQServer struct {
	Addr string
	Dir  string
	proc *Process
}

// Stop ends the server in order, or kills it when that takes more than three minutes. A
// broker waits ten seconds for threads of its own, and twice that on a busy machine.
func (s *RocketMQServer) Stop() error { return s.proc.Stop(3 * time.Minute) }

// Pid is the process id.
func (s *RocketMQServer) Pid() int { return s.proc.Pid() }

// Kill ends the server at once.
func (s *RocketMQServer) Kill() { s.proc.Kill() }

// StartNamesrv starts a name server with its files in dir and returns when it answers.
func (r *RocketMQ) StartNamesrv(ctx context.Context, dir string) (*RocketMQServer, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	s, err := r.start(dir, "namesrv", port, []string{"-Xms128m", "-Xmx256m"},
		"org.apache.rocketmq.namesrv.NamesrvStartup", map[string]string{
			"bindAddress": "127.0.0.1",
			"listenPort":  fmt.Sprint(port),
		})
	if err != nil {
		return nil, err
	}
	err = s.proc.WaitReady(ctx, func(ctx context.Context) error {
		_, err := clusterInfo(ctx, s.Addr)
		return err
	})
	return s, s.orKill(err)
}

// RocketMQBroker says how a broker is started.
type RocketMQBroker struct {
	Name    string // broker-a when empty
	Cluster string // DefaultCluster when empty
	// Config overrides and adds to the broker's configuration.
	Config map[string]string
	// Heap is the size of the Java heap; 512m when empty.
	Heap string
}

// StartBroker starts a broker with its files in dir (the store in dir/store) and
// returns when the name server knows it.
func (r *RocketMQ) StartBroker(ctx context.Context, dir, namesrv string, opts RocketMQBroker) (*RocketMQServer, error) {
	port, err := brokerPort()
	if err != nil {
		return nil, err
	}
	ha, err := FreePort()
	if err != nil {
		return nil, err
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	name, heap := opts.Name, opts.Heap
	if name == "" {
		name = "broker-a"
	}
	if heap == "" {
		heap = "512m"
	}
	cluster := opts.Cluster
	if cluster == "" {
		cluster = "DefaultCluster"
	}
	config := map[string]string{
		"brokerName":              name,
		"brokerClusterName":       cluster,
		"brokerId":                "0",
		"brokerIP1":               "127.0.0.1",
		"bindAddress":             "127.0.0.1",
		"listenPort":              fmt.Sprint(port),
		"haListenPort":            fmt.Sprint(ha),
		"namesrvAddr":             namesrv,
		"storePathRootDir":        filepath.Join(dir, "store"),
		"storePathCommitLog":      filepath.Join(dir, "store", "commitlog"),
		"mappedFileSizeCommitLog": fmt.Sprint(128 << 20),
	}
	maps.Copy(config, opts.Config)
	s, err := r.start(dir, "broker", port, []string{"-Xms" + heap, "-Xmx" + heap, "-XX:MaxDirectMemorySize=1g"},
		"org.apache.rocketmq.broker.BrokerStartup", config)
	if err != nil {
		return nil, err
	}
	err = s.proc.WaitReady(ctx, func(ctx context.Context) error {
		info, err := clusterInfo(ctx, namesrv)
		if err == nil && !strings.Contains(info, s.Addr) {
			err = fmt.Errorf("the name server does not know %s yet", s.Addr)
		}
		return err
	})
	return s, s.orKill(err)
}

// start writes the configuration as name.conf and starts a main class with it.
func (r *RocketMQ) start(dir, name string, port int, jvm []string, mainClass string, config map[string]string) (*RocketMQServer, error) {
	home, err := makeHome(dir)
	if err != nil {
		return nil, err
	}
	var conf bytes.Buffer
	for _, k := range slices.Sorted(maps.Keys(config)) {
		fmt.Fprintf(&conf, "%s=%s\n", k, config[k])
	}
	file := filepath.Join(home, name+".conf")
	if err := os.WriteFile(file, conf.Bytes(), 0o644); err != nil {
		return nil, err
	}
	args := append(append(jvm, r.jvmArgs(home)...), mainClass, "-c", file)
	proc, err := StartProcess(home, name, []string{"ROCKETMQ_HOME=" + home}, r.java, args...)
	if err != nil {
		return nil, err
	}
	return &RocketMQServer{Addr: fmt.Sprintf("127.0.0.1:%d", port), Dir: home, proc: proc}, nil
}

// orKill passes err on; a server that did not get ready is killed.
func (s *RocketMQServer) orKill(err error) error {
	if err != nil {
		s.Kill()
	}
	return err
}

// brokerPort finds a free port whose neighbour two below, which a broker takes for its
// fast remoting server, is free as well.
func brokerPort() (int, error) {
	for range 100 {
		port, err := FreePort()
		if err != nil {
			return 0, err
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port-2))
		if err != nil {
			continue
		}
		l.Close()
		return port, nil
	}
	return 0, errors.New("no two free ports at a distance of two")
}

// clusterInfo asks a name server which brokers it knows (request 106).
func clusterInfo(ctx context.Context, addr string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return "", err
	}
	const header = `{"code":106,"language":"GO","version":479,"opaque":1,"flag":0}`
	req := binary.BigEndian.AppendUint32(nil, uint32(4+len(header)))
	req = binary.BigEndian.AppendUint32(req, uint32(len(header)))
	if _, err := conn.Write(append(req, header...)); err != nil {
		return "", err
	}
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return "", err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > 1<<20 {
		return "", fmt.Errorf("name server %s answers with %d bytes", addr, n)
	}
	ans := make([]byte, n)
	_, err = io.ReadFull(conn, ans)
	return string(ans), err
}
