package parquet

import (
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/config"
)

func TestAnIntervalSaysWhatItTakes(t *testing.T) {
	for text, want := range map[string]string{
		"off": "", "10s": "",
		"maybe": `f.yaml:1:21: current.interval: "maybe" is no duration; write one such as 10s, or off`,
		"7":     `f.yaml:1:21: current.interval: "7" is no duration; write one such as 10s, or off`,
	} {
		d, err := config.Parse("f.yaml", []byte("current: {interval: "+text+"}"), func(string) (string, bool) { return "", false })
		if err != nil {
			t.Fatal(err)
		}
		cfg := DefaultConfig()
		d.Decode(d.Root, "", &cfg)
		got := ""
		if err := d.Issues.Err(); err != nil {
			got = err.Error()
		}
		if strings.TrimSpace(got) != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestWhereTheLakeIs(t *testing.T) {
	for text, want := range map[string]string{
		"path: ./lake":               "",
		"path: 's3://bucket/prefix'": "",
		"path: 's3://bucket', s3: {endpoint: 'http://127.0.0.1:9000', path_style: true, credentials: static, access_key: a, secret_key: b}": "",
		"compression: none":                              "path: is missing; name a directory or a bucket, e.g. path: ./lake or path: s3://bucket/prefix",
		"path: 'gs://bucket/prefix'":                     "path: nothing is known of gs://; name a directory, e.g. ./lake, or s3://bucket/prefix",
		"path: 's3://B/prefix'":                          `path: "B" is no name of a bucket; write s3://bucket/prefix, with 3 to 63 lower-case letters, digits, dots and dashes`,
		"path: 's3://bucket', s3: {endpoint: minio}":     "s3.endpoint: is no address of a store; write its URL, e.g. https://minio.example.com:9000",
		"path: 's3://bucket', s3: {credentials: static}": "s3.credentials: static needs access_key and secret_key; write them beside it, e.g. secret_key: ${LAKE_SECRET_KEY}",
		"path: ./lake, s3: {path_style: true}":           "s3: is read with a path s3://bucket/prefix, and ./lake is a directory; correct path, or take s3 out",
		"path: ./lake, scratch: /tmp":                    "scratch: is read with a path s3://bucket/prefix; a directory has its own; correct path, or take scratch out",
		"path: 's3://bucket', s3: {secret: x}":           `f.yaml:1:28: s3.secret: unknown key`,
	} {
		d, err := config.Parse("f.yaml", []byte("{"+text+"}"), func(string) (string, bool) { return "", false })
		if err != nil {
			t.Fatal(err)
		}
		cfg := DefaultConfig()
		d.Decode(d.Root, "", &cfg)
		err = d.Issues.Err()
		if err == nil {
			err = cfg.Validate()
		}
		got := ""
		if err != nil {
			got = err.Error()
		}
		if (got == "") != (want == "") || !strings.HasPrefix(strings.TrimSpace(got), want) {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
