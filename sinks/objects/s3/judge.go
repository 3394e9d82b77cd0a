package s3

import (
	"errors"
	"net"
	"net/http"
	"slices"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// verdict is what a request's error says.
type verdict struct {
	// unknown: the store may have done what was asked, or may still do it.
	unknown bool
	// again: it may go better another time.
	again bool
	// stale: the credentials were refused, and others may have taken their place.
	stale bool
	// taken: the name was not free.
	taken bool
	// absent: there is no such object, upload or bucket.
	absent bool
}

// answer is the status and the code of a store's answer; status is 0 when there was none.
func answer(err error) (status int, code string) {
	var re *smithyhttp.ResponseError
	if errors.As(err, &re) && re.Response != nil && re.Response.Response != nil {
		status = re.HTTPStatusCode()
	}
	var ae smithy.APIError
	if errors.As(err, &ae) {
		code = ae.ErrorCode()
	}
	return status, code
}

// Codes of refusals after which another attempt may succeed.
var (
	conflicts = []string{"OperationAborted", "ConditionalRequestConflict"}
	passing   = []string{"RequestTimeout", "IncompleteBody", "RequestTimeTooSkewed",
		"TooManyRequests", "SlowDown", "Throttling", "ThrottlingException", "RequestThrottled"}
	staleCodes = []string{"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "InvalidToken", "InvalidAccessKeyId"}
)

// judge reads an error. A refusal (4xx) says that nothing was done. Any 5xx, a success whose
// answer could not be read, and silence behind a request that may have been sent say nothing.
// Neither does a conflict: what it met with may be the same request, sent twice on the way.
func judge(err error, sent bool) verdict {
	status, code := answer(err)
	var local *bodyError
	switch {
	case errors.As(err, &local):
		return verdict{} // a body that was cut short is stored by nobody
	case errors.Is(err, errNoCredentials):
		return verdict{}
	case status == 0:
		var dial *net.OpError
		return verdict{unknown: sent, again: sent || errors.As(err, &dial) && dial.Op == "dial"}
	case status >= 500 || status < 300:
		return verdict{unknown: true, again: status != http.StatusNotImplemented}
	case status == http.StatusPreconditionFailed:
		return verdict{taken: true}
	case slices.Contains(staleCodes, code):
		return verdict{stale: true, again: true}
	case status == http.StatusConflict || slices.Contains(conflicts, code):
		return verdict{unknown: true, again: true}
	case status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || slices.Contains(passing, code):
		return verdict{again: true}
	case status == http.StatusNotFound && code != "NoSuchBucket":
		return verdict{absent: true}
	}
	return verdict{}
}
