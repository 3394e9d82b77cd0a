package s3

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"

	"github.com/millrace/millrace/internal/config"
)

// Config is the s3 part of a sink.
type Config struct {
	// Endpoint is the store's URL; empty is Amazon's of the region.
	Endpoint string `yaml:"endpoint"`
	Region   string `yaml:"region"`
	// PathStyle puts the bucket into the path and not into the host's name. It always is
	// where the host is an address or a single word.
	PathStyle bool `yaml:"path_style"`
	// Credentials says where they are: env, file or static.
	Credentials string `yaml:"credentials"`
	// File and Profile are of credentials: file. Empty are the SDK's: ~/.aws/credentials, or
	// $AWS_SHARED_CREDENTIALS_FILE, and default.
	File    string `yaml:"file"`
	Profile string `yaml:"profile"`
	// AccessKey and the rest are of credentials: static.
	AccessKey    string        `yaml:"access_key"`
	SecretKey    config.Secret `yaml:"secret_key"`
	SessionToken config.Secret `yaml:"session_token"`
}

// DefaultConfig is what holds where nothing is said.
func DefaultConfig() Config { return Config{Region: "us-east-1", Credentials: "env"} }

// Validate says what is wrong first, as a *config.KeyError.
func (c *Config) Validate() error {
	if err := c.checkEndpoint(); err != nil {
		return err
	}
	if c.Region == "" {
		return &config.KeyError{Key: "region", Text: "is missing",
			Remedy: "write one, e.g. us-east-1; stores other than Amazon's mostly take that"}
	}
	bad := func(text, remedy string) error {
		return &config.KeyError{Key: "credentials", Text: text, Remedy: remedy}
	}
	static := c.AccessKey != "" || c.SecretKey != "" || c.SessionToken != ""
	switch c.Credentials {
	case "static":
		if c.AccessKey == "" || c.SecretKey == "" {
			return bad("static needs access_key and secret_key", "write them beside it, e.g. secret_key: ${LAKE_SECRET_KEY}")
		}
	case "env", "file":
		if static {
			return bad("access_key, secret_key and session_token are not read with "+c.Credentials, "write credentials: static, or take them out")
		}
	default:
		return bad(fmt.Sprintf("%q is no source of credentials", c.Credentials), "write env, file or static")
	}
	if c.Credentials != "file" && (c.File != "" || c.Profile != "") {
		return bad("file and profile are not read with "+c.Credentials, "write credentials: file, or take them out")
	}
	return nil
}

func (c *Config) checkEndpoint() error {
	if c.Endpoint == "" {
		return nil
	}
	bad := func(text, remedy string) error { return &config.KeyError{Key: "endpoint", Text: text, Remedy: remedy} }
	u, err := url.Parse(c.Endpoint)
	switch {
	case err == nil && u.User != nil:
		return bad("holds credentials", "write credentials: static with access_key and secret_key")
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return bad("is no address of a store", "write its URL, e.g. https://minio.example.com:9000")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return bad("holds more than scheme, host and port", "bucket and prefix are part of path: s3://bucket/prefix")
	}
	return nil
}

// URL is the address of a path s3://bucket/key over HTTP.
func (c *Config) URL(path string) string {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(path, Scheme), "/")
	key = (&url.URL{Path: key}).EscapedPath()
	scheme, host := "https", "s3."+c.Region+".amazonaws.com"
	if c.Endpoint != "" {
		scheme, host, _ = strings.Cut(strings.TrimSuffix(c.Endpoint, "/"), "://")
	}
	if c.InPath() {
		return scheme + "://" + host + "/" + bucket + "/" + key
	}
	return scheme + "://" + bucket + "." + host + "/" + key
}

// InPath reports whether the bucket goes into the path.
func (c *Config) InPath() bool {
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Host == "" {
		return c.PathStyle
	}
	return c.PathStyle || net.ParseIP(u.Hostname()) != nil || !strings.Contains(u.Hostname(), ".")
}

// Scheme begins the paths that mean a bucket.
const Scheme = "s3://"

var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// ParsePath takes s3://bucket/prefix apart. The prefix has no slash at its ends.
func ParsePath(path string) (bucket, prefix string, err error) {
	rest, ok := strings.CutPrefix(path, Scheme)
	if !ok {
		return "", "", fmt.Errorf("%q does not begin with %s", path, Scheme)
	}
	bucket, prefix, _ = strings.Cut(rest, "/")
	if !bucketName.MatchString(bucket) {
		return "", "", fmt.Errorf("%q is no name of a bucket; write s3://bucket/prefix, with 3 to 63 lower-case letters, digits, "+
			"dots and dashes", bucket)
	}
	prefix = strings.TrimSuffix(prefix, "/")
	if prefix == "" {
		return bucket, "", nil
	}
	for part := range strings.SplitSeq(prefix, "/") {
		if part == "" || part == "." || part == ".." {
			return "", "", fmt.Errorf("%q is no prefix: its parts must not be empty, . or ..", prefix)
		}
	}
	if i := strings.IndexFunc(prefix, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }); i >= 0 {
		return "", "", fmt.Errorf("%q is no prefix: it holds a character that can't be shown", prefix)
	}
	return bucket, prefix, nil
}
