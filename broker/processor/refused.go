package processor

import (
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
	"github.com/millrace/millrace/remoting/rpc"
)

// sayRefusedEvery is how often a log line says that a code is asked for in vain.
const sayRefusedEvery = time.Minute

// refused counts the requests that this broker does not serve, and says each code's at
// most once a minute. Codes without a row share one line and one label: peers choose them.
type refused struct {
	total *prometheus.CounterVec

	mu   sync.Mutex
	said map[int]saidRefused
}

type saidRefused struct {
	at    time.Time
	since int // requests that no line has told of
}

// unknownCode stands for every code without a row.
const unknownCode = -1

func newRefused(reg prometheus.Registerer) *refused {
	r := &refused{said: map[int]saidRefused{}, total: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "millrace_requests_refused_total",
		Help: "Requests that this broker does not serve, by code and the client's language.",
	}, []string{"request_code", "request", "language"})}
	if reg != nil {
		reg.MustRegister(r.total)
	}
	return r
}

// count notes a request. It returns how many a log line should tell of now, 0 for none.
func (r *refused) count(code int, name string, language remoting.Language, now time.Time) int {
	label := "unknown"
	if code != unknownCode {
		label = strconv.Itoa(code)
	}
	r.total.WithLabelValues(label, name, language.String()).Inc()
	r.mu.Lock()
	defer r.mu.Unlock()
	s, known := r.said[code]
	s.since++
	if known && now.Sub(s.at) < sayRefusedEvery {
		r.said[code] = s
		return 0
	}
	r.said[code] = saidRefused{at: now}
	return s.since
}

// refuseUnknown answers a request whose code has no row.
func (p *Processor) refuseUnknown(x *rpc.Exchange) {
	p.noteRefused(x, unknownCode, "", true)
	x.Reply(remoting.NewResponse(protocol.RequestCodeNotSupported, fmt.Sprintf(" request type %d not supported", x.Request().Code)))
}

// refuseCode answers a request whose row has no handler.
func (p *Processor) refuseCode(c *call) {
	row := &c.route.Row
	silent := row.misread(c.Request().Language)
	p.noteRefused(c.Exchange, row.Code, row.Name, !silent)
	if silent {
		c.Abandon()
		return
	}
	c.finish(remoting.NewResponse(protocol.RequestCodeNotSupported, row.refusal()))
}

func (p *Processor) noteRefused(x *rpc.Exchange, code int, name string, answered bool) {
	req := x.Request()
	if n := p.Metrics.refused.count(code, name, req.Language, p.Now()); n > 0 {
		p.Log.Warn("requests are refused: this broker does not serve their code",
			slog.Int("code", req.Code), slog.String("request", name), slog.String("remote", x.Conn().RemoteAddrPort().String()),
			slog.String("language", req.Language.String()), slog.Int("version", int(req.Version)),
			slog.Bool("answered", answered), slog.Int("requests", n))
	}
}

// misread tells whether clients of a language take the refusal for success. Apache's Go
// client asks only whether an answer to CONSUMER_SEND_MSG_BACK came: any answer says to it
// that the broker has the message again, and it commits behind it. Without one it keeps the
// message and tries again.
func (r *Row) misread(language remoting.Language) bool {
	return r.Code == protocol.ConsumerSendMsgBack && language == remoting.LanguageGo
}

// refusal names a code that is not served.
func (r *Row) refusal() string {
	switch r.Status {
	case Pushed:
		return fmt.Sprintf("%s (%d) is a request that brokers send; it is not served", r.Name, r.Code)
	case Never:
		return fmt.Sprintf("%s (%d) is not supported", r.Name, r.Code)
	}
	return fmt.Sprintf("%s (%d) is not supported yet", r.Name, r.Code)
}
