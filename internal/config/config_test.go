package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

type server struct {
	Listen   string            `yaml:"listen"`
	Port     int               `yaml:"port"`
	Wait     Duration          `yaml:"wait"`
	Size     Bytes             `yaml:"size"`
	Password Secret            `yaml:"password"`
	Fast     bool              `yaml:"fast"`
	Tags     []string          `yaml:"tags"`
	Store    store             `yaml:"store"`
	Limits   map[string]limits `yaml:"limits"`
}

type store struct {
	FlushDiskType string `yaml:"flushDiskType"`
}

type limits struct {
	Rate float64 `yaml:"rate"`
}

func env(pairs ...string) Env {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

func TestMistakesAreAllReportedWithTheirPlaces(t *testing.T) {
	const text = `listen: ${NOWHERE}
prot: 80
port: many
wait: 5
size: 3MB
fast: perhaps
tags: one
store:
  flushDiskTyp: SYNC_FLUSH
  flushDiskTyp: twice
limits:
  a: {rate: x}
`
	d, err := Parse("f.yaml", []byte(text), env())
	if err != nil {
		t.Fatal(err)
	}
	var s server
	d.Decode(d.Root, "", &s)
	got := d.Issues.Err().Error()
	want := strings.TrimSpace(`
f.yaml:1:9: listen: the environment variable NOWHERE is not set; set it, or write $${ for a literal ${
f.yaml:2:1: prot: unknown key; did you mean "port"?
f.yaml:3:7: port: must be a whole number, not "many"
f.yaml:4:7: wait: "5" is not a duration; write a number with a unit, as in 500ms, 10s or 72h
f.yaml:6:7: fast: must be true or false, not "perhaps"
f.yaml:7:7: tags: must be a list, not "one"
f.yaml:9:3: store.flushDiskTyp: unknown key; did you mean "flushDiskType"?
f.yaml:10:3: store.flushDiskTyp: the key stands twice; remove one of them
f.yaml:12:13: limits.a.rate: must be a number, not "x"`)
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestBadYAMLNamesItsLine(t *testing.T) {
	for _, text := range []string{"a: [1\nb: 2\n", "\ta: 1", "- list"} {
		_, err := Parse("f.yaml", []byte(text), env())
		var issues Issues
		if !errors.As(err, &issues) || !strings.HasPrefix(err.Error(), "f.yaml:") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestInterpolation(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ in, want, mistake string }{
		{in: "plain", want: "plain"},
		{in: "${HOST}:${PORT}", want: "h:81"},
		{in: "$${HOST}", want: "${HOST}"},
		{in: "${file:" + secret + "}", want: "s3cret"},
		{in: "${MISSING}", mistake: "MISSING is not set"},
		{in: "${HOST", mistake: "no closing }"},
		{in: "${file:/does/not/exist}", mistake: "can't be read"},
	} {
		got, err := Interpolate(c.in, env("HOST", "h", "PORT", "81"))
		switch {
		case c.mistake != "" && (err == nil || !strings.Contains(err.Error(), c.mistake)):
			t.Errorf("%s: error %v, want %q", c.in, err, c.mistake)
		case c.mistake == "" && (err != nil || got != c.want):
			t.Errorf("%s: %q, %v, want %q", c.in, got, err, c.want)
		}
	}
}

func TestAnInterpolatedNumberIsANumber(t *testing.T) {
	d, err := Parse("f.yaml", []byte("port: ${PORT}\nlisten: \"${PORT}\"\n"), env("PORT", "81"))
	if err != nil {
		t.Fatal(err)
	}
	var s server
	d.Decode(d.Root, "", &s)
	if err := d.Issues.Err(); err != nil || s.Port != 81 || s.Listen != "81" {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestLayersInOrder(t *testing.T) {
	defaults := server{Listen: "default", Port: 1, Wait: Duration(time.Second), Size: 1, Store: store{"SYNC_FLUSH"}}
	d, err := Parse("f.yaml", []byte("listen: file\nport: 2\nwait: 2s\nsize: 2KiB\n"), env())
	if err != nil {
		t.Fatal(err)
	}
	got := defaults
	err = Load(d, Layers{
		Prefix:    "MILLRACE_BROKER",
		Environ:   []string{"MILLRACE_BROKER__PORT=3", "MILLRACE_BROKER__STORE__FLUSHDISKTYPE=ASYNC_FLUSH", "MILLRACE_BROKER__WAIT=3s", "OTHER=1", "MILLRACE_BROKER__TAGS=a,b"},
		Overrides: map[string]string{"wait": "4s"},
	}, &got)
	if err != nil {
		t.Fatal(err)
	}
	want := server{Listen: "file", Port: 3, Wait: Duration(4 * time.Second), Size: 2048, Store: store{"ASYNC_FLUSH"}, Tags: []string{"a", "b"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestAnUnknownVariableOfTheLayerIsAMistake(t *testing.T) {
	var s server
	err := Load(nil, Layers{Prefix: "MILLRACE_BROKER", Environ: []string{"MILLRACE_BROKER__LISTNE=x"}}, &s)
	if err == nil || !strings.Contains(err.Error(), "MILLRACE_BROKER__LISTNE") {
		t.Errorf("error %v", err)
	}
}

func TestPropertiesWarnOfWhatTheyDoNotKnow(t *testing.T) {
	text := "# RocketMQ\nlisten = host\nport=99\nport=100\nmapedFileSizeCommitLog=1\nbroken\naclEnable=true\nenableDLegerCommitLog=true\nenableDLegerCommitLog=false\n"
	refuse := func(key, value string) error {
		if value == "true" {
			return fmt.Errorf("%s=%s is not there", key, value)
		}
		return nil
	}
	d, warnings, err := ParseProperties("broker.conf", []byte(text), reflect.TypeFor[server](), refuse)
	if err != nil {
		t.Fatal(err)
	}
	// As in Java, the last of two counts.
	if len(warnings) != 2 || !strings.Contains(warnings[0], "mapedFileSizeCommitLog") ||
		!strings.Contains(warnings[1], "enableDLegerCommitLog") {
		t.Errorf("warnings %q", warnings)
	}
	if len(d.Issues) != 2 || d.Issues[0].Line != 6 || d.Issues[1].Line != 7 || !strings.Contains(d.Issues[1].Text, "aclEnable=true") {
		t.Errorf("issues %v", d.Issues)
	}
	d.Issues = nil
	var s server
	if err := Load(d, Layers{}, &s); err != nil || s.Listen != "host" || s.Port != 100 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestSecretsDoNotShow(t *testing.T) {
	s := Secret("hunter2")
	y, err := s.MarshalYAML()
	if err != nil {
		t.Fatal(err)
	}
	j, err := s.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{s.String(), s.GoString(), y.(string), string(j)} {
		if strings.Contains(shown, "hunter2") {
			t.Errorf("shown: %s", shown)
		}
	}
	if s.Reveal() != "hunter2" {
		t.Error("the secret is lost")
	}
}

func TestSizes(t *testing.T) {
	for in, want := range map[string]Bytes{"64MiB": 64 << 20, "1.5KiB": 1536, "10MB": 1e7, "7": 7, "0": 0} {
		got, err := ParseBytes(in)
		if err != nil || got != want {
			t.Errorf("%s: %d, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "x", "-1", "5XB", "1e30GiB"} {
		if _, err := ParseBytes(in); err == nil {
			t.Errorf("%q was taken", in)
		}
	}
	if got := Bytes(64 << 20).String(); got != "64MiB" {
		t.Error(got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("listen: a\nport: ${X}\n"))
	f.Add([]byte("a: &x [1]\nb: *x\n"))
	f.Add([]byte("limits: {a: {rate: 1}}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Parse("f.yaml", data, env("X", "1"))
		if err != nil {
			return
		}
		var s server
		d.Decode(d.Root, "", &s)
	})
}

// TestAKeyThatStandsTwiceMakesNoOtherMistakes: what stands beside it is read.
func TestAKeyThatStandsTwiceMakesNoOtherMistakes(t *testing.T) {
	d, err := Parse("f.yaml", []byte("port: 80\nport: 81\nwait: 5s\nfast: true\n"), env())
	if err != nil {
		t.Fatal(err)
	}
	var s server
	d.Decode(d.Root, "", &s)
	if got, want := d.Issues.Err().Error(), "f.yaml:2:1: port: the key stands twice; remove one of them"; got != want || !s.Fast {
		t.Errorf("got %q, want %q; read %+v", got, want, s)
	}
}

// TestASecondDocumentIsAMistake: YAML's readers stop in front of it.
func TestASecondDocumentIsAMistake(t *testing.T) {
	for text, want := range map[string]string{
		"port: 80\n---\nport: 81\n":      "f.yaml:3:1: a second document begins here",
		"---\nport: 80\n":                "",
		"port: 80\n---\n":                "",
		"port: 80\n...\n":                "",
		"port: 80\n---\n# no more\n":     "",
		"port: 80\n---\nport: [80\n":     "f.yaml:",
		"# of the port\n---\nport: 80\n": "",
	} {
		got := ""
		d, err := Parse("f.yaml", []byte(text), env())
		if err == nil {
			err = d.Issues.Err()
		}
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, want) || (got == "") != (want == "") {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
