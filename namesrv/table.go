package namesrv

import (
	"errors"
	"fmt"

	"github.com/millrace/millrace/namesrv/route"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
	"github.com/millrace/millrace/remoting/rpc"
)

// Row is one request code of a name server. Resource and Action say what an authoriser
// would be asked; the columns are those of the broker's table.
type Row struct {
	Code     int
	Name     string
	Resource string
	Action   string
	Status   string
	Note     string

	// handler returns the answer or the error that refuses; neither says that it answers
	// later.
	handler func(*Server, *rpc.Exchange) (*remoting.Command, error)
}

const (
	statusDone    = "yes"
	statusPlanned = "planned"
)

// Table returns every request code that a name server knows of, sorted by code.
func Table() []Row {
	rows := []Row{
		{Code: protocol.PutKVConfig, Resource: "cluster", Action: "update", handler: (*Server).putKV},
		{Code: protocol.GetKVConfig, Resource: "cluster", Action: "get", handler: (*Server).getKV},
		{Code: protocol.DeleteKVConfig, Resource: "cluster", Action: "delete", handler: (*Server).deleteKV},
		{Code: protocol.RegisterBroker, Resource: "cluster", Action: "update", handler: (*Server).registerBroker, Note: "JSON or deflated."},
		{Code: protocol.UnregisterBroker, Resource: "cluster", Action: "update", handler: (*Server).unregisterBroker},
		{Code: protocol.GetRouteInfoByTopic, Resource: "topic", Action: "get", handler: (*Server).route, Note: "Keys are always quoted."},
		{Code: protocol.GetBrokerClusterInfo, Resource: "cluster", Action: "get", handler: (*Server).cluster},
		{Code: protocol.WipeWritePermOfBroker, Resource: "cluster", Action: "update", handler: (*Server).wipeWritePerm},
		{Code: protocol.GetAllTopicListFromNameserver, Resource: "topic", Action: "list", handler: (*Server).topics},
		{Code: protocol.DeleteTopicInNamesrv, Resource: "topic", Action: "delete", handler: (*Server).deleteTopic},
		{Code: protocol.RegisterTopicInNamesrv, Resource: "topic", Action: "create"},
		{Code: protocol.GetKVListByNamespace, Resource: "cluster", Action: "list", handler: (*Server).listKV},
		{Code: protocol.GetTopicsByCluster, Resource: "topic", Action: "list", handler: (*Server).topicsOfCluster},
		{Code: protocol.GetSystemTopicListFromNS, Resource: "topic", Action: "list", handler: (*Server).systemTopics},
		{Code: protocol.GetUnitTopicList, Resource: "topic", Action: "list"},
		{Code: protocol.GetHasUnitSubTopicList, Resource: "topic", Action: "list"},
		{Code: protocol.GetHasUnitSubUnunitTopicList, Resource: "topic", Action: "list"},
		{Code: protocol.UpdateNamesrvConfig, Resource: "cluster", Action: "update"},
		{Code: protocol.GetNamesrvConfig, Resource: "cluster", Action: "get"},
		{Code: protocol.QueryDataVersion, Resource: "cluster", Action: "get", handler: (*Server).queryDataVersion},
		{Code: protocol.AddWritePermOfBroker, Resource: "cluster", Action: "update", handler: (*Server).addWritePerm},
		{Code: protocol.GetBrokerMemberGroup, Resource: "cluster", Action: "get"},
		{Code: protocol.BrokerHeartbeat, Resource: "cluster", Action: "update"},
	}
	for i := range rows {
		rows[i].Name = protocol.RequestName(rows[i].Code)
		if rows[i].Status = statusDone; rows[i].handler == nil {
			rows[i].Status = statusPlanned
		}
	}
	return rows
}

// ServeRemoting answers one request. All of them are quick: they run where they are read.
func (s *Server) ServeRemoting(x *rpc.Exchange) {
	code := x.Request().Code
	row, ok := s.rows[code]
	switch {
	case !ok:
		x.Reply(remoting.NewResponse(protocol.RequestCodeNotSupported, fmt.Sprintf(" request type %d not supported", code)))
		return
	case row.handler == nil:
		x.Reply(remoting.NewResponse(protocol.RequestCodeNotSupported, fmt.Sprintf("%s (%d) is not supported yet", row.Name, code)))
		return
	}
	ans, err := row.handler(s, x)
	if err != nil {
		ans = refusal(err)
	}
	if ans != nil {
		x.Reply(ans)
	}
}

func refusal(err error) *remoting.Command {
	var coded *protocol.Error
	switch {
	case errors.As(err, &coded):
		return coded.Response()
	case errors.Is(err, route.ErrInvalid):
		return remoting.NewResponse(protocol.InvalidParameter, err.Error())
	}
	return remoting.NewResponse(protocol.SystemError, err.Error())
}

// header reads the request's header into h, or says what is wrong with it.
func header(x *rpc.Exchange, h interface {
	Decode(*remoting.Command) error
}) error {
	if err := h.Decode(x.Request()); err != nil {
		return protocol.Errorf(protocol.SystemError, "%v", err)
	}
	return nil
}

func answer(body any) (*remoting.Command, error) {
	ans := remoting.NewResponse(protocol.Success, "")
	if body == nil {
		return ans, nil
	}
	var err error
	ans.Body, err = protocol.EncodeBody(body)
	return ans, err
}
