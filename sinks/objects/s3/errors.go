package s3

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// ErrNoConditionalPut: the store gives a name more than once, so a lake can't be kept there.
var ErrNoConditionalPut = errors.New("the store does not keep to If-None-Match: *")

// Error is what a store, or the way to it, has answered.
type Error struct {
	Op     string // what was attempted
	Object string // s3://bucket/key
	Code   string // the store's, "" when it did not answer
	Status int
	// Remedy is what to do about it, "" where nothing better is known than the cause.
	Remedy string
	Err    error
}

func (e *Error) Error() string {
	text := fmt.Sprintf("%s %s: %s", e.Op, e.Object, e.cause())
	if e.Remedy != "" {
		text += " (" + e.Remedy + ")"
	}
	return text
}

// cause is the error in the store's words, without the SDK's.
func (e *Error) cause() string {
	var ae smithy.APIError
	if errors.As(e.Err, &ae) {
		text := ae.ErrorCode()
		if m := ae.ErrorMessage(); m != "" && m != text {
			text += ": " + m
		}
		if e.Status != 0 {
			text += fmt.Sprintf(" [%d]", e.Status)
		}
		return text
	}
	var ue *url.Error
	switch {
	case errors.Is(e.Err, errNoCredentials):
		// The SDK's own words stand before it.
		_, text, _ := strings.Cut(e.Err.Error(), errNoCredentials.Error())
		return errNoCredentials.Error() + text
	case errors.As(e.Err, &ue) && errors.Is(ue.Err, io.EOF):
		return "the connection ended before there was an answer"
	case errors.As(e.Err, &ue):
		return ue.Err.Error()
	case e.Status != 0:
		return fmt.Sprintf("%s [%d]", http.StatusText(e.Status), e.Status)
	}
	return e.Err.Error()
}

// Unwrap lets a refusal be told by fs.ErrPermission as well.
func (e *Error) Unwrap() []error {
	if e.Status == http.StatusForbidden || e.Status == http.StatusUnauthorized {
		return []error{e.Err, fs.ErrPermission}
	}
	return []error{e.Err}
}

// explain makes an error of a store one that a person can act on.
func (s *Store) explain(op, name string, err error) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s %s: %w", op, s.url(name), err)
	}
	status, code := answer(err)
	return &Error{Op: op, Object: s.url(name), Code: code, Status: status, Remedy: s.remedy(status, code, err), Err: err}
}

func (s *Store) remedy(status int, code string, err error) string {
	switch code {
	case "NoSuchBucket":
		return fmt.Sprintf("create the bucket %s, or correct path", s.bucket)
	case "InvalidAccessKeyId":
		return "the store knows no such access key: see s3.credentials"
	case "SignatureDoesNotMatch":
		return "the secret key does not belong to the access key: see s3.credentials"
	case "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "InvalidToken":
		return "the credentials have expired: renew them where s3.credentials says they are; they are read again"
	case "RequestTimeTooSkewed":
		return "set this machine's clock, or the store's: they differ by more than the store allows"
	case "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "TemporaryRedirect":
		return wrongRegion(err)
	case "SlowDown", "TooManyRequests", "ServiceUnavailable", "Throttling", "ThrottlingException", "RequestThrottled":
		return "the store asks for fewer requests: fewer tables, or a longer flush.interval; it is tried again"
	case "EntityTooLarge":
		return "the store takes no object of this size: lower flush.bytes and current.file_rows"
	case "QuotaExceeded", "XMinioStorageFull", "InsufficientStorage":
		return "free space in the store; the table goes on by itself"
	}
	switch {
	case errors.Is(err, errNoCredentials):
		return ""
	case errors.Is(err, errNoNextPage):
		return "choose a store that lists by pages (ListObjectsV2), or a current version of it"
	case status == http.StatusMovedPermanently:
		return wrongRegion(err)
	case status == http.StatusForbidden || status == http.StatusUnauthorized:
		return fmt.Sprintf("allow s3:GetObject, s3:PutObject, s3:DeleteObject, s3:AbortMultipartUpload and s3:ListBucket on bucket %s", s.bucket)
	case status == http.StatusInsufficientStorage:
		return "free space in the store; the table goes on by itself"
	case status == http.StatusNotFound && code == "NotFound", status == http.StatusMethodNotAllowed:
		return fmt.Sprintf("see that s3.endpoint is an object store's (%s), and whether path_style: true is needed", s.endpoint)
	case status == 0:
		return s.unreachable(err)
	}
	return ""
}

func wrongRegion(err error) string {
	var re *smithyhttp.ResponseError
	if errors.As(err, &re) && re.Response != nil {
		if r := re.Response.Header.Get("X-Amz-Bucket-Region"); r != "" {
			return fmt.Sprintf("set s3.region: %s, where the bucket is", r)
		}
	}
	return "set s3.region to the one that the bucket is in, and s3.endpoint to the store's own address"
}

// unreachable is for a store that did not answer.
func (s *Store) unreachable(err error) string {
	var dns *net.DNSError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	switch {
	case errors.As(err, &dns):
		return fmt.Sprintf("see that s3.endpoint (%s) is right, and whether path_style: true is needed", s.endpoint)
	case errors.As(err, &unknown):
		return "the store's certificate is of an authority that this machine does not know: add it to the machine's, e.g. with SSL_CERT_FILE"
	case errors.As(err, &host):
		return "the store's certificate is for another name: set s3.endpoint to that name, or path_style: true"
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return "the store does not speak TLS there: write http:// in s3.endpoint"
	}
	return fmt.Sprintf("see that the store at %s runs and can be reached from here", s.endpoint)
}
