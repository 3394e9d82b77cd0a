package s3

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// fileAge is how long credentials of a file are used before it is read again: programs that
// renew them write there.
const fileAge = 5 * time.Minute

// provider finds the credentials that the configuration names. The SDK's cache calls it when
// there are none yet, when they expire, and after a store has refused them.
func (c *Config) provider() aws.CredentialsProvider {
	switch c.Credentials {
	case "static":
		return credentials.NewStaticCredentialsProvider(c.AccessKey, c.SecretKey.Reveal(), c.SessionToken.Reveal())
	case "file":
		return aws.CredentialsProviderFunc(c.fromFile)
	}
	return aws.CredentialsProviderFunc(c.fromEnv)
}

// fromEnv is the process's surroundings: the environment's keys, a web identity token, a
// container's or an instance's role. Files are not looked at.
func (c *Config) fromEnv(ctx context.Context) (aws.Credentials, error) {
	const remedy = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or choose s3.credentials: file or static"
	// Where AWS_PROFILE is set, loading fails for want of that profile, whatever else is there.
	if env, err := awsconfig.NewEnvConfig(); err == nil && env.Credentials.HasKeys() {
		return env.Credentials, nil
	}
	return c.load(ctx, remedy, awsconfig.WithSharedConfigFiles([]string{}), awsconfig.WithSharedCredentialsFiles([]string{}))
}

func (c *Config) fromFile(ctx context.Context) (aws.Credentials, error) {
	profile := c.Profile
	if profile == "" {
		profile = "default"
	}
	// A profile by name goes before the environment's keys.
	options := []func(*awsconfig.LoadOptions) error{awsconfig.WithSharedConfigProfile(profile)}
	remedy := fmt.Sprintf("see that the file has a profile [%s] with aws_access_key_id and aws_secret_access_key", profile)
	if c.File != "" {
		options = append(options, awsconfig.WithSharedCredentialsFiles([]string{c.File}))
		remedy = fmt.Sprintf("see that %s has a profile [%s] with aws_access_key_id and aws_secret_access_key", c.File, profile)
	}
	creds, err := c.load(ctx, remedy, options...)
	if err == nil && !creds.CanExpire {
		creds.CanExpire, creds.Expires = true, time.Now().Add(fileAge)
	}
	return creds, err
}

// errNoCredentials says that there are none, or none that can be used.
var errNoCredentials = errors.New("no credentials")

func (c *Config) load(ctx context.Context, remedy string, options ...func(*awsconfig.LoadOptions) error) (aws.Credentials, error) {
	fail := func(err error) (aws.Credentials, error) {
		return aws.Credentials{}, fmt.Errorf("%w from s3.credentials: %s (%s): %w", errNoCredentials, c.Credentials, remedy, err)
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx, append(options, awsconfig.WithRegion(c.Region))...)
	if err != nil {
		return fail(err)
	}
	creds, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return fail(err)
	}
	return creds, nil
}
