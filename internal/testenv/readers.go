package testenv

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Reader is a program that reads the lake: a Python interpreter with its packages, and for
// Spark the jars of Delta Lake.
type Reader struct {
	python string
	path   string // of packages
	jars   string
}

// readerSpec is how a reader is had. Packages that come as sources only have no wheel.
type readerSpec struct {
	packages []string
	jars     []string // group:artifact:version
	size     string   // of the download, where it is large
	source   bool
}

// readerSpecs are the readers by the names that MILLRACE_SKIP knows them by.
func readerSpecs() map[string]readerSpec {
	return map[string]readerSpec{
		"deltalake": {},
		"pyarrow":   {},
		"polars":    {packages: []string{"polars==2.1.0"}},
		"duckdb":    {packages: []string{"duckdb==2.0.1", "pandas==3.1.1", "fsspec==2026.9.0"}},
		// The newest version whose extension for Delta Lake comes as a package: others fetch it at run time.
		"duckdbdelta": {packages: []string{"duckdb==1.4.4", "duckdb-ext-delta==1.4.4.20260205"}},
		"clickhouse":  {packages: []string{"chdb==4.4.0", "chdb-core==26.9.0"}, size: "200 MB"},
		"spark3": {packages: []string{"pyspark==3.5.6"}, size: "317 MB", source: true,
			jars: []string{"io.delta:delta-spark_2.12:3.3.2", "io.delta:delta-storage:3.3.2"}},
		"spark4": {packages: []string{"pyspark==4.0.1"}, size: "420 MB", source: true,
			jars: []string{"io.delta:delta-spark_2.13:4.0.0", "io.delta:delta-storage:4.0.0", "org.antlr:antlr4-runtime:4.13.1"}},
	}
}

// Readers are the names of readers: all, or those that every run of the tests asks, with
// the version of Spark that misread most.
func Readers(all bool) []string {
	names := []string{"deltalake", "pyarrow", "polars", "duckdb", "duckdbdelta", "clickhouse", "spark3"}
	if all {
		names = append(names, "spark4")
	}
	return names
}

// NewReader finds a reader in the cache, or fetches it there with the machine's own pip and
// Maven. Without it the test ends (see Missing); MILLRACE_SKIP=spark stands for both versions.
func NewReader(t testing.TB, name string) *Reader {
	t.Helper()
	r, err := findReader(context.Background(), name)
	if err != nil {
		skip := strings.TrimRight(name, "34")
		if MaySkip(name) {
			skip = name
		}
		Missing(t, skip, err)
	}
	return r
}

func findReader(ctx context.Context, name string) (*Reader, error) {
	spec, ok := readerSpecs()[name]
	if !ok {
		return nil, fmt.Errorf("there is no reader %q", name)
	}
	if MaySkip(name) || MaySkip(strings.TrimRight(name, "34")) {
		return nil, fmt.Errorf("it is left out")
	}
	base, err := findDeltalake(ctx)
	if err != nil {
		return nil, err
	}
	r := &Reader{python: base.python, path: base.packages}
	if len(spec.packages) > 0 {
		own, err := Cached(ctx, "python-"+strings.ReplaceAll(strings.Join(spec.packages, "-"), "==", "-"),
			func(ctx context.Context, dir string) error {
				if spec.size != "" {
					fmt.Fprintf(os.Stderr, "fetching %s (%s, once)\n", strings.Join(spec.packages, " "), spec.size)
				}
				args := []string{"-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", dir}
				if !spec.source {
					args = append(args, "--only-binary", ":all:")
				}
				_, err := output(ctx, "", base.python, append(args, spec.packages...)...)
				return err
			})
		if err != nil {
			return nil, err
		}
		r.path = own + string(os.PathListSeparator) + base.packages
	}
	if len(spec.jars) > 0 {
		if _, err := tool(ctx, "java", "default-jdk-headless"); err != nil {
			return nil, err
		}
		r.jars, err = Cached(ctx, "jars-"+name+"-"+strings.ReplaceAll(spec.jars[0], ":", "-"), func(ctx context.Context, dir string) error {
			return fetchJars(ctx, dir, spec.jars)
		})
	}
	return r, err
}

// fetchJars brings jars, without what they depend on, through Maven.
func fetchJars(ctx context.Context, dir string, jars []string) error {
	mvn, err := tool(ctx, "mvn", "maven")
	if err != nil {
		return err
	}
	for _, jar := range jars {
		cmd := exec.CommandContext(ctx, mvn, "-q", "-B", "dependency:copy", "-Dartifact="+jar, "-DoutputDirectory="+dir)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("mvn dependency:copy %s: %w: %s", jar, err, tail(out, 2000))
		}
	}
	return nil
}

// File runs a script file with a directory for what it leaves, and returns what it prints.
func (r *Reader) File(ctx context.Context, work, script string, args ...string) ([]byte, error) {
	script, err := filepath.Abs(script)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, r.python, append([]string{script}, args...)...)
	cmd.Dir = work
	cmd.Env = append(os.Environ(), "PYTHONPATH="+r.path, "PYTHONIOENCODING=utf-8", "PYTHONDONTWRITEBYTECODE=1", "TZ=UTC",
		"JARS="+r.jars, "WORK="+work, "SPARK_LOCAL_DIRS="+work, "SPARK_LOCAL_IP=127.0.0.1",
		"TMPDIR="+work, "JAVA_TOOL_OPTIONS=-XX:-UsePerfData -Djava.io.tmpdir="+work)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", filepath.Base(script), err, tail(stderr.Bytes(), 4000))
	}
	return stdout.Bytes(), nil
}
