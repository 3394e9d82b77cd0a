package processor

import (
	"slices"

	"github.com/millrace/millrace/remoting/protocol"
	"github.com/millrace/millrace/remoting/rpc"
)

// Resource is what a request touches, for authorisation.
type Resource string

// Action is what it does to it.
type Action string

// Status says how much of a code there is.
type Status string

const (
	ResourceTopic   Resource = "topic"
	ResourceGroup   Resource = "group"
	ResourceCluster Resource = "cluster"
	ResourceWriter  Resource = "writer"

	ActionPub    Action = "pub"
	ActionSub    Action = "sub"
	ActionCreate Action = "create"
	ActionUpdate Action = "update"
	ActionDelete Action = "delete"
	ActionGet    Action = "get"
	ActionList   Action = "list"

	// Done: answered as Apache RocketMQ does, for what doc.go does not exclude.
	Done Status = "yes"
	// Planned: refused by name until it is there.
	Planned Status = "planned"
	// Never: an obsolete code that is refused by name.
	Never Status = "no"
	// Pushed: a request that the broker starts and clients answer; refused when a
	// client sends it.
	Pushed Status = "sent by the broker"
)

// Row is one request code.
type Row struct {
	Code     int
	Name     string
	Resource Resource
	Action   Action
	Status   Status
	Note     string // for docs/protocol.md

	handler handler
}

// Authorizer decides whether a request may be served. An error refuses it; its text is
// the remark that the client sees.
type Authorizer interface {
	Authorize(x *rpc.Exchange, row *Row) error
}

// Table returns every request code that a broker knows of, sorted by code.
func Table() []Row {
	rows := slices.Concat(served(), pushed(), planned())
	for i := range rows {
		rows[i].Name = protocol.RequestName(rows[i].Code)
	}
	slices.SortFunc(rows, func(a, b Row) int { return a.Code - b.Code })
	return rows
}

func served() []Row {
	row := func(code int, r Resource, a Action, handler handler, note string) Row {
		return Row{Code: code, Resource: r, Action: a, Status: Done, Note: note, handler: handler}
	}
	return []Row{
		row(protocol.SendMessage, ResourceTopic, ActionPub, (*Processor).sendMessage, "Delay and timer properties are refused."),
		row(protocol.SendMessageV2, ResourceTopic, ActionPub, (*Processor).sendMessage, "As 10, with one-letter fields."),
		row(protocol.SendBatchMessage, ResourceTopic, ActionPub, (*Processor).sendMessage,
			"Stored as single messages with consecutive offsets; not into owned queues."),
		row(protocol.PullMessage, ResourceTopic, ActionSub, (*Processor).pullMessage,
			"Tags only; SQL92 is refused. An offset outside of the queue is answered 21 and counted."),
		row(protocol.LitePullMessage, ResourceTopic, ActionSub, (*Processor).pullMessage, "As 11."),

		row(protocol.QueryConsumerOffset, ResourceGroup, ActionGet, (*Processor).queryConsumerOffset, ""),
		row(protocol.UpdateConsumerOffset, ResourceGroup, ActionUpdate, (*Processor).updateConsumerOffset, ""),
		row(protocol.SearchOffsetByTimestamp, ResourceTopic, ActionGet, (*Processor).searchOffset, "boundaryType LOWER or UPPER."),
		row(protocol.GetMaxOffset, ResourceTopic, ActionGet, (*Processor).maxOffset, ""),
		row(protocol.GetMinOffset, ResourceTopic, ActionGet, (*Processor).minOffset, ""),
		row(protocol.GetEarliestMsgStoreTime, ResourceTopic, ActionGet, (*Processor).earliestStoreTime, ""),
		row(protocol.ViewMessageByID, ResourceTopic, ActionGet, (*Processor).viewMessage, ""),
		row(protocol.GetAllConsumerOffset, ResourceCluster, ActionList, (*Processor).allConsumerOffsets,
			"consumerOffset.json as it would be written now."),
		row(protocol.GetConsumeStats, ResourceGroup, ActionGet, (*Processor).consumeStats,
			"An offset beyond the end of its queue shows as a negative difference."),
		row(protocol.GetTopicStatsInfo, ResourceTopic, ActionGet, (*Processor).topicStats, ""),

		row(protocol.HeartBeat, ResourceGroup, ActionSub, (*Processor).heartBeat, ""),
		row(protocol.UnregisterClient, ResourceGroup, ActionSub, (*Processor).unregisterClient, ""),
		row(protocol.GetConsumerListByGroup, ResourceGroup, ActionGet, (*Processor).consumerList, ""),
		row(protocol.GetConsumerConnectionList, ResourceGroup, ActionGet, (*Processor).consumerConnections, ""),
		row(protocol.GetProducerConnectionList, ResourceGroup, ActionGet, (*Processor).producerConnections, ""),
		row(protocol.UpdateAndCreateSubscriptionGroup, ResourceGroup, ActionCreate, (*Processor).putGroup, ""),
		row(protocol.GetAllSubscriptionGroupConfig, ResourceCluster, ActionList, (*Processor).allGroups, ""),

		row(protocol.UpdateAndCreateTopic, ResourceTopic, ActionCreate, (*Processor).createTopic,
			"Attribute `millrace.writer` declares owned queues."),
		row(protocol.DeleteTopicInBroker, ResourceTopic, ActionDelete, (*Processor).deleteTopic, "A writer's topic only by force."),
		row(protocol.GetAllTopicConfig, ResourceCluster, ActionList, (*Processor).allTopics, ""),
		row(protocol.GetTopicConfig, ResourceTopic, ActionGet, (*Processor).topicConfig, ""),

		row(protocol.GetBrokerRuntimeInfo, ResourceCluster, ActionGet, (*Processor).runtimeInfo, ""),
		row(protocol.GetBrokerConfig, ResourceCluster, ActionGet, (*Processor).brokerConfig, "Secrets are left out."),

		row(protocol.EndTransaction, ResourceTopic, ActionPub, (*Processor).endTransaction,
			"Two-way when the one-way bit is not set; final and idempotent. A commit for a queue whose topic was deleted: 17, and "+
				"the half stays pending."),
		row(protocol.OpenWriter, ResourceWriter, ActionPub, (*Processor).openWriter, "Millrace's own."),
		row(protocol.Resolve, ResourceWriter, ActionPub, (*Processor).resolveHalves, "Millrace's own."),
	}
}

func pushed() []Row {
	row := func(code int, note string) Row {
		return Row{Code: code, Resource: ResourceCluster, Action: ActionUpdate, Status: Pushed, Note: note}
	}
	return []Row{
		row(protocol.CheckTransactionState, "One-way, to one producer of the group."),
		row(protocol.NotifyConsumerIDsChanged, "One-way, to every member, at once."),
		row(protocol.ResetConsumerClientOffset, ""),
		row(protocol.GetConsumerStatusFromClient, ""),
		row(protocol.PushReplyMessageToClient, ""),
		row(protocol.NotifyUnsubscribeLite, ""),
	}
}

func planned() []Row {
	var rows []Row
	add := func(r Resource, a Action, note string, codes ...int) {
		for _, code := range codes {
			rows = append(rows, Row{Code: code, Resource: r, Action: a, Status: Planned, Note: note})
		}
	}
	add(ResourceTopic, ActionGet, "Queries by key.", protocol.QueryMessage)
	add(ResourceGroup, ActionSub, "Retry and dead letters. Clients of language GO get no answer: they take a refusal for success and lose "+
		"the message; so they keep it and try again.",
		protocol.ConsumerSendMsgBack)
	add(ResourceGroup, ActionSub, "Orderly locks.", protocol.LockBatchMQ, protocol.UnlockBatchMQ)
	add(ResourceGroup, ActionSub, "SQL92 filters.", protocol.CheckClientConfig)
	add(ResourceTopic, ActionPub, "Request and reply.", protocol.SendReplyMessage, protocol.SendReplyMessageV2)
	add(ResourceTopic, ActionPub, "Timers.", protocol.RecallMessage)
	add(ResourceTopic, ActionSub, "POP consumption.", protocol.PopMessage, protocol.AckMessage, protocol.PeekMessage,
		protocol.ChangeMessageInvisibleTime, protocol.Notification, protocol.PollingInfo, protocol.BatchAckMessage)
	add(ResourceGroup, ActionGet, "POP consumption.", protocol.QueryAssignment)
	add(ResourceCluster, ActionUpdate, "POP consumption.", protocol.SetMessageRequestMode, protocol.PopRollback)
	add(ResourceCluster, ActionList, "Replication.", protocol.GetAllDelayOffset, protocol.GetTimerCheckPoint, protocol.GetTimerMetrics,
		protocol.GetAllMessageRequestMode, protocol.GetBrokerHAStatus, protocol.GetBrokerEpochCache)
	add(ResourceCluster, ActionUpdate, "Replication.", protocol.NotifyMinBrokerIDChange, protocol.ExchangeBrokerHAInfo,
		protocol.ResetMasterFlushOffset, protocol.NotifyBrokerRoleChanged)
	add(ResourceCluster, ActionUpdate, "Administration.", protocol.UpdateBrokerConfig, protocol.CleanExpiredConsumeQueue,
		protocol.CleanUnusedTopic, protocol.DeleteExpiredCommitLog)
	add(ResourceTopic, ActionCreate, "Administration.", protocol.UpdateAndCreateTopicList, protocol.UpdateAndCreateStaticTopic)
	add(ResourceGroup, ActionCreate, "Administration.", protocol.UpdateAndCreateSubscriptionGroupList)
	add(ResourceGroup, ActionDelete, "Administration.", protocol.DeleteSubscriptionGroup)
	add(ResourceGroup, ActionUpdate, "Administration.", protocol.InvokeBrokerToResetOffset, protocol.CloneGroupOffset,
		protocol.UpdateAndGetGroupForbidden)
	add(ResourceGroup, ActionGet, "Administration.", protocol.InvokeBrokerToGetConsumerStatus, protocol.GetConsumerRunningInfo,
		protocol.ConsumeMessageDirectly, protocol.QueryConsumeTimeSpan, protocol.QueryCorrectionOffset, protocol.GetBrokerConsumeStats,
		protocol.QueryTopicsByConsumer, protocol.QuerySubscriptionByConsumer, protocol.GetSubscriptionGroupConfig)
	add(ResourceTopic, ActionGet, "Administration.", protocol.QueryTopicConsumeByWho, protocol.ViewBrokerStatsData, protocol.QueryConsumeQueue)
	add(ResourceCluster, ActionList, "Administration.", protocol.GetSystemTopicListFromBroker, protocol.GetAllProducerInfo)
	add(ResourceTopic, ActionUpdate, "Administration.", protocol.ResumeCheckHalfMessage)
	add(ResourceTopic, ActionDelete, "Administration.", protocol.DeleteTopicInBrokerList)
	add(ResourceGroup, ActionDelete, "Administration.", protocol.DeleteSubscriptionGroupList)
	add(ResourceCluster, ActionUpdate, "Timers.", protocol.SwitchTimerEngine)
	add(ResourceTopic, ActionSub, "Lite topics.", protocol.PopLiteMessage, protocol.LiteSubscriptionCtl, protocol.AckLiteMessage)
	add(ResourceTopic, ActionGet, "Lite topics.", protocol.GetBrokerLiteInfo, protocol.GetParentTopicInfo, protocol.GetLiteTopicInfo,
		protocol.GetLiteClientInfo, protocol.GetLiteGroupInfo, protocol.TriggerLiteDispatch)
	add(ResourceCluster, ActionUpdate, "Access control.", protocol.AuthCreateUser, protocol.AuthUpdateUser, protocol.AuthDeleteUser,
		protocol.AuthCreateACL, protocol.AuthUpdateACL, protocol.AuthDeleteACL)
	add(ResourceCluster, ActionGet, "Access control.", protocol.AuthGetUser, protocol.AuthListUser, protocol.AuthGetACL, protocol.AuthListACL)
	never := len(rows)
	add(ResourceCluster, ActionUpdate, "Access control of 4.x.", protocol.UpdateAndCreateACLConfig, protocol.DeleteACLConfig,
		protocol.GetBrokerClusterACLInfo, protocol.UpdateGlobalWhiteAddrsConfig, protocol.GetBrokerClusterACLConfig)
	add(ResourceCluster, ActionUpdate, "Class filters.", protocol.RegisterFilterServer, protocol.RegisterMessageFilterClass)
	add(ResourceCluster, ActionUpdate, "RocksDB.", protocol.CheckRocksDBCQWriteProgress, protocol.ExportRocksDBConfigToJSON)
	add(ResourceCluster, ActionUpdate, "Page-cache tuning of memory-mapped files.", protocol.UpdateColdDataFlowCtrConfig,
		protocol.RemoveColdDataFlowCtrConfig, protocol.GetColdDataFlowCtrInfo, protocol.SetCommitLogReadMode)
	for i := never; i < len(rows); i++ {
		rows[i].Status = Never
	}
	return rows
}
