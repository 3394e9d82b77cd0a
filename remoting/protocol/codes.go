package protocol

// Request codes, named for RocketMQ's RequestCode constants. Those of 31000
// and above are Millrace's own.
const (
	SendMessage                          = 10
	PullMessage                          = 11
	QueryMessage                         = 12
	QueryBrokerOffset                    = 13
	QueryConsumerOffset                  = 14
	UpdateConsumerOffset                 = 15
	UpdateAndCreateTopic                 = 17
	UpdateAndCreateTopicList             = 18
	GetAllTopicConfig                    = 21
	GetTopicConfigList                   = 22
	GetTopicNameList                     = 23
	UpdateBrokerConfig                   = 25
	GetBrokerConfig                      = 26
	TriggerDeleteFiles                   = 27
	GetBrokerRuntimeInfo                 = 28
	SearchOffsetByTimestamp              = 29
	GetMaxOffset                         = 30
	GetMinOffset                         = 31
	GetEarliestMsgStoreTime              = 32
	ViewMessageByID                      = 33
	HeartBeat                            = 34
	UnregisterClient                     = 35
	ConsumerSendMsgBack                  = 36
	EndTransaction                       = 37
	GetConsumerListByGroup               = 38
	CheckTransactionState                = 39
	NotifyConsumerIDsChanged             = 40
	LockBatchMQ                          = 41
	UnlockBatchMQ                        = 42
	GetAllConsumerOffset                 = 43
	GetAllDelayOffset                    = 45
	CheckClientConfig                    = 46
	GetClientConfig                      = 47
	UpdateAndCreateACLConfig             = 50
	DeleteACLConfig                      = 51
	GetBrokerClusterACLInfo              = 52
	UpdateGlobalWhiteAddrsConfig         = 53
	GetBrokerClusterACLConfig            = 54
	GetTimerCheckPoint                   = 60
	GetTimerMetrics                      = 61
	PutKVConfig                          = 100
	GetKVConfig                          = 101
	DeleteKVConfig                       = 102
	RegisterBroker                       = 103
	UnregisterBroker                     = 104
	GetRouteInfoByTopic                  = 105
	GetBrokerClusterInfo                 = 106
	UpdateAndCreateSubscriptionGroup     = 200
	GetAllSubscriptionGroupConfig        = 201
	GetTopicStatsInfo                    = 202
	GetConsumerConnectionList            = 203
	GetProducerConnectionList            = 204
	WipeWritePermOfBroker                = 205
	GetAllTopicListFromNameserver        = 206
	DeleteSubscriptionGroup              = 207
	GetConsumeStats                      = 208
	SuspendConsumer                      = 209
	ResumeConsumer                       = 210
	ResetConsumerOffsetInConsumer        = 211
	ResetConsumerOffsetInBroker          = 212
	AdjustConsumerThreadPool             = 213
	WhoConsumeTheMessage                 = 214
	DeleteTopicInBroker                  = 215
	DeleteTopicInNamesrv                 = 216
	RegisterTopicInNamesrv               = 217
	GetKVListByNamespace                 = 219
	ResetConsumerClientOffset            = 220
	GetConsumerStatusFromClient          = 221
	InvokeBrokerToResetOffset            = 222
	InvokeBrokerToGetConsumerStatus      = 223
	GetTopicsByCluster                   = 224
	UpdateAndCreateSubscriptionGroupList = 225
	QueryTopicConsumeByWho               = 300
	RegisterFilterServer                 = 301
	RegisterMessageFilterClass           = 302
	QueryConsumeTimeSpan                 = 303
	GetSystemTopicListFromNS             = 304
	GetSystemTopicListFromBroker         = 305
	CleanExpiredConsumeQueue             = 306
	GetConsumerRunningInfo               = 307
	QueryCorrectionOffset                = 308
	ConsumeMessageDirectly               = 309
	SendMessageV2                        = 310
	GetUnitTopicList                     = 311
	GetHasUnitSubTopicList               = 312
	GetHasUnitSubUnunitTopicList         = 313
	CloneGroupOffset                     = 314
	ViewBrokerStatsData                  = 315
	CleanUnusedTopic                     = 316
	GetBrokerConsumeStats                = 317
	UpdateNamesrvConfig                  = 318
	GetNamesrvConfig                     = 319
	SendBatchMessage                     = 320
	QueryConsumeQueue                    = 321
	QueryDataVersion                     = 322
	ResumeCheckHalfMessage               = 323
	SendReplyMessage                     = 324
	SendReplyMessageV2                   = 325
	PushReplyMessageToClient             = 326
	AddWritePermOfBroker                 = 327
	GetAllProducerInfo                   = 328
	DeleteExpiredCommitLog               = 329
	QueryTopicsByConsumer                = 343
	QuerySubscriptionByConsumer          = 345
	GetTopicConfig                       = 351
	GetSubscriptionGroupConfig           = 352
	UpdateAndGetGroupForbidden           = 353
	CheckRocksDBCQWriteProgress          = 354
	ExportRocksDBConfigToJSON            = 355
	LitePullMessage                      = 361
	RecallMessage                        = 370
	QueryAssignment                      = 400
	SetMessageRequestMode                = 401
	GetAllMessageRequestMode             = 402
	UpdateAndCreateStaticTopic           = 513
	GetBrokerMemberGroup                 = 901
	AddBroker                            = 902
	RemoveBroker                         = 903
	BrokerHeartbeat                      = 904
	NotifyMinBrokerIDChange              = 905
	ExchangeBrokerHAInfo                 = 906
	GetBrokerHAStatus                    = 907
	ResetMasterFlushOffset               = 908
	ControllerAlterSyncStateSet          = 1001
	ControllerElectMaster                = 1002
	ControllerRegisterBroker             = 1003
	ControllerGetReplicaInfo             = 1004
	ControllerGetMetadataInfo            = 1005
	ControllerGetSyncStateData           = 1006
	GetBrokerEpochCache                  = 1007
	NotifyBrokerRoleChanged              = 1008
	UpdateControllerConfig               = 1009
	GetControllerConfig                  = 1010
	CleanBrokerData                      = 1011
	ControllerGetNextBrokerID            = 1012
	ControllerApplyBrokerID              = 1013
	BrokerCloseChannelRequest            = 1014
	CheckNotActiveBrokerRequest          = 1015
	GetBrokerLiveInfoRequest             = 1016
	GetSyncStateDataRequest              = 1017
	RaftBrokerHeartBeatEventRequest      = 1018
	UpdateColdDataFlowCtrConfig          = 2001
	RemoveColdDataFlowCtrConfig          = 2002
	GetColdDataFlowCtrInfo               = 2003
	SetCommitLogReadMode                 = 2004
	AuthCreateUser                       = 3001
	AuthUpdateUser                       = 3002
	AuthDeleteUser                       = 3003
	AuthGetUser                          = 3004
	AuthListUser                         = 3005
	AuthCreateACL                        = 3006
	AuthUpdateACL                        = 3007
	AuthDeleteACL                        = 3008
	AuthGetACL                           = 3009
	AuthListACL                          = 3010
	SwitchTimerEngine                    = 5001
	DeleteTopicInBrokerList              = 5002
	DeleteSubscriptionGroupList          = 5003
	OpenWriter                           = 31001
	Resolve                              = 31002
	PopMessage                           = 200050
	AckMessage                           = 200051
	PeekMessage                          = 200052
	ChangeMessageInvisibleTime           = 200053
	Notification                         = 200054
	PollingInfo                          = 200055
	PopRollback                          = 200056
	PopLiteMessage                       = 200070
	LiteSubscriptionCtl                  = 200071
	AckLiteMessage                       = 200072
	NotifyUnsubscribeLite                = 200073
	GetBrokerLiteInfo                    = 200074
	GetParentTopicInfo                   = 200075
	GetLiteTopicInfo                     = 200076
	GetLiteClientInfo                    = 200077
	GetLiteGroupInfo                     = 200078
	TriggerLiteDispatch                  = 200079
	BatchAckMessage                      = 200151
)

// Response codes, named for RocketMQ's ResponseCode constants. Those of 31100
// and above answer requests to owned queues.
const (
	Success                              = 0
	SystemError                          = 1
	SystemBusy                           = 2
	RequestCodeNotSupported              = 3
	TransactionFailed                    = 4
	FlushDiskTimeout                     = 10
	SlaveNotAvailable                    = 11
	FlushSlaveTimeout                    = 12
	MessageIllegal                       = 13
	ServiceNotAvailable                  = 14
	VersionNotSupported                  = 15
	NoPermission                         = 16
	TopicNotExist                        = 17
	TopicExistAlready                    = 18
	PullNotFound                         = 19
	PullRetryImmediately                 = 20
	PullOffsetMoved                      = 21
	QueryNotFound                        = 22
	SubscriptionParseFailed              = 23
	SubscriptionNotExist                 = 24
	SubscriptionNotLatest                = 25
	SubscriptionGroupNotExist            = 26
	FilterDataNotExist                   = 27
	FilterDataNotLatest                  = 28
	InvalidParameter                     = 29
	TransactionShouldCommit              = 200
	TransactionShouldRollback            = 201
	TransactionStateUnknow               = 202
	TransactionStateGroupWrong           = 203
	NoBuyerID                            = 204
	NotInCurrentUnit                     = 205
	ConsumerNotOnline                    = 206
	ConsumeMsgTimeout                    = 207
	NoMessage                            = 208
	PollingFull                          = 209
	PollingTimeout                       = 210
	BrokerNotExist                       = 211
	BrokerDispatchNotComplete            = 212
	BroadcastConsumption                 = 213
	FlowControl                          = 215
	NotLeaderForQueue                    = 501
	IllegalOperation                     = 604
	RPCUnknown                           = -1000
	RPCAddrIsNull                        = -1002
	RPCSendToChannelFailed               = -1004
	RPCTimeOut                           = -1006
	GoAway                               = 1500
	ControllerFencedMasterEpoch          = 2000
	ControllerFencedSyncStateSetEpoch    = 2001
	ControllerInvalidMaster              = 2002
	ControllerInvalidReplicas            = 2003
	ControllerMasterNotAvailable         = 2004
	ControllerInvalidRequest             = 2005
	ControllerBrokerNotAlive             = 2006
	ControllerNotLeader                  = 2007
	ControllerBrokerMetadataNotExist     = 2008
	ControllerInvalidCleanBrokerMetadata = 2009
	ControllerBrokerNeedToBeRegistered   = 2010
	ControllerMasterStillExist           = 2011
	ControllerElectMasterFailed          = 2012
	ControllerAlterSyncStateSetFailed    = 2013
	ControllerBrokerIDInvalid            = 2014
	ControllerJRaftInternalError         = 2015
	ControllerBrokerLiveInfoNotExists    = 2016
	LMQQuotaExceeded                     = 2017
	LiteSubscriptionQuotaExceeded        = 2018
	UserNotExist                         = 3001
	PolicyNotExist                       = 3002
	Stale                                = 31101
	Fenced                               = 31102
	Duplicate                            = 31103
	Gap                                  = 31104
	Gone                                 = 31105
)

// RequestName returns RocketMQ's constant name of a request code, "" for an
// unknown one.
func RequestName(code int) string {
	switch code {
	case SendMessage:
		return "SEND_MESSAGE"
	case PullMessage:
		return "PULL_MESSAGE"
	case QueryMessage:
		return "QUERY_MESSAGE"
	case QueryBrokerOffset:
		return "QUERY_BROKER_OFFSET"
	case QueryConsumerOffset:
		return "QUERY_CONSUMER_OFFSET"
	case UpdateConsumerOffset:
		return "UPDATE_CONSUMER_OFFSET"
	case UpdateAndCreateTopic:
		return "UPDATE_AND_CREATE_TOPIC"
	case UpdateAndCreateTopicList:
		return "UPDATE_AND_CREATE_TOPIC_LIST"
	case GetAllTopicConfig:
		return "GET_ALL_TOPIC_CONFIG"
	case GetTopicConfigList:
		return "GET_TOPIC_CONFIG_LIST"
	case GetTopicNameList:
		return "GET_TOPIC_NAME_LIST"
	case UpdateBrokerConfig:
		return "UPDATE_BROKER_CONFIG"
	case GetBrokerConfig:
		return "GET_BROKER_CONFIG"
	case TriggerDeleteFiles:
		return "TRIGGER_DELETE_FILES"
	case GetBrokerRuntimeInfo:
		return "GET_BROKER_RUNTIME_INFO"
	case SearchOffsetByTimestamp:
		return "SEARCH_OFFSET_BY_TIMESTAMP"
	case GetMaxOffset:
		return "GET_MAX_OFFSET"
	case GetMinOffset:
		return "GET_MIN_OFFSET"
	case GetEarliestMsgStoreTime:
		return "GET_EARLIEST_MSG_STORETIME"
	case ViewMessageByID:
		return "VIEW_MESSAGE_BY_ID"
	case HeartBeat:
		return "HEART_BEAT"
	case UnregisterClient:
		return "UNREGISTER_CLIENT"
	case ConsumerSendMsgBack:
		return "CONSUMER_SEND_MSG_BACK"
	case EndTransaction:
		return "END_TRANSACTION"
	case GetConsumerListByGroup:
		return "GET_CONSUMER_LIST_BY_GROUP"
	case CheckTransactionState:
		return "CHECK_TRANSACTION_STATE"
	case NotifyConsumerIDsChanged:
		return "NOTIFY_CONSUMER_IDS_CHANGED"
	case LockBatchMQ:
		return "LOCK_BATCH_MQ"
	case UnlockBatchMQ:
		return "UNLOCK_BATCH_MQ"
	case GetAllConsumerOffset:
		return "GET_ALL_CONSUMER_OFFSET"
	case GetAllDelayOffset:
		return "GET_ALL_DELAY_OFFSET"
	case CheckClientConfig:
		return "CHECK_CLIENT_CONFIG"
	case GetClientConfig:
		return "GET_CLIENT_CONFIG"
	case UpdateAndCreateACLConfig:
		return "UPDATE_AND_CREATE_ACL_CONFIG"
	case DeleteACLConfig:
		return "DELETE_ACL_CONFIG"
	case GetBrokerClusterACLInfo:
		return "GET_BROKER_CLUSTER_ACL_INFO"
	case UpdateGlobalWhiteAddrsConfig:
		return "UPDATE_GLOBAL_WHITE_ADDRS_CONFIG"
	case GetBrokerClusterACLConfig:
		return "GET_BROKER_CLUSTER_ACL_CONFIG"
	case GetTimerCheckPoint:
		return "GET_TIMER_CHECK_POINT"
	case GetTimerMetrics:
		return "GET_TIMER_METRICS"
	case PutKVConfig:
		return "PUT_KV_CONFIG"
	case GetKVConfig:
		return "GET_KV_CONFIG"
	case DeleteKVConfig:
		return "DELETE_KV_CONFIG"
	case RegisterBroker:
		return "REGISTER_BROKER"
	case UnregisterBroker:
		return "UNREGISTER_BROKER"
	case GetRouteInfoByTopic:
		return "GET_ROUTEINFO_BY_TOPIC"
	case GetBrokerClusterInfo:
		return "GET_BROKER_CLUSTER_INFO"
	case UpdateAndCreateSubscriptionGroup:
		return "UPDATE_AND_CREATE_SUBSCRIPTIONGROUP"
	case GetAllSubscriptionGroupConfig:
		return "GET_ALL_SUBSCRIPTIONGROUP_CONFIG"
	case GetTopicStatsInfo:
		return "GET_TOPIC_STATS_INFO"
	case GetConsumerConnectionList:
		return "GET_CONSUMER_CONNECTION_LIST"
	case GetProducerConnectionList:
		return "GET_PRODUCER_CONNECTION_LIST"
	case WipeWritePermOfBroker:
		return "WIPE_WRITE_PERM_OF_BROKER"
	case GetAllTopicListFromNameserver:
		return "GET_ALL_TOPIC_LIST_FROM_NAMESERVER"
	case DeleteSubscriptionGroup:
		return "DELETE_SUBSCRIPTIONGROUP"
	case GetConsumeStats:
		return "GET_CONSUME_STATS"
	case SuspendConsumer:
		return "SUSPEND_CONSUMER"
	case ResumeConsumer:
		return "RESUME_CONSUMER"
	case ResetConsumerOffsetInConsumer:
		return "RESET_CONSUMER_OFFSET_IN_CONSUMER"
	case ResetConsumerOffsetInBroker:
		return "RESET_CONSUMER_OFFSET_IN_BROKER"
	case AdjustConsumerThreadPool:
		return "ADJUST_CONSUMER_THREAD_POOL"
	case WhoConsumeTheMessage:
		return "WHO_CONSUME_THE_MESSAGE"
	case DeleteTopicInBroker:
		return "DELETE_TOPIC_IN_BROKER"
	case DeleteTopicInNamesrv:
		return "DELETE_TOPIC_IN_NAMESRV"
	case RegisterTopicInNamesrv:
		return "REGISTER_TOPIC_IN_NAMESRV"
	case GetKVListByNamespace:
		return "GET_KVLIST_BY_NAMESPACE"
	case ResetConsumerClientOffset:
		return "RESET_CONSUMER_CLIENT_OFFSET"
	case GetConsumerStatusFromClient:
		return "GET_CONSUMER_STATUS_FROM_CLIENT"
	case InvokeBrokerToResetOffset:
		return "INVOKE_BROKER_TO_RESET_OFFSET"
	case InvokeBrokerToGetConsumerStatus:
		return "INVOKE_BROKER_TO_GET_CONSUMER_STATUS"
	case GetTopicsByCluster:
		return "GET_TOPICS_BY_CLUSTER"
	case UpdateAndCreateSubscriptionGroupList:
		return "UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST"
	case QueryTopicConsumeByWho:
		return "QUERY_TOPIC_CONSUME_BY_WHO"
	case RegisterFilterServer:
		return "REGISTER_FILTER_SERVER"
	case RegisterMessageFilterClass:
		return "REGISTER_MESSAGE_FILTER_CLASS"
	case QueryConsumeTimeSpan:
		return "QUERY_CONSUME_TIME_SPAN"
	case GetSystemTopicListFromNS:
		return "GET_SYSTEM_TOPIC_LIST_FROM_NS"
	case GetSystemTopicListFromBroker:
		return "GET_SYSTEM_TOPIC_LIST_FROM_BROKER"
	case CleanExpiredConsumeQueue:
		return "CLEAN_EXPIRED_CONSUMEQUEUE"
	case GetConsumerRunningInfo:
		return "GET_CONSUMER_RUNNING_INFO"
	case QueryCorrectionOffset:
		return "QUERY_CORRECTION_OFFSET"
	case ConsumeMessageDirectly:
		return "CONSUME_MESSAGE_DIRECTLY"
	case SendMessageV2:
		return "SEND_MESSAGE_V2"
	case GetUnitTopicList:
		return "GET_UNIT_TOPIC_LIST"
	case GetHasUnitSubTopicList:
		return "GET_HAS_UNIT_SUB_TOPIC_LIST"
	case GetHasUnitSubUnunitTopicList:
		return "GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST"
	case CloneGroupOffset:
		return "CLONE_GROUP_OFFSET"
	case ViewBrokerStatsData:
		return "VIEW_BROKER_STATS_DATA"
	case CleanUnusedTopic:
		return "CLEAN_UNUSED_TOPIC"
	case GetBrokerConsumeStats:
		return "GET_BROKER_CONSUME_STATS"
	case UpdateNamesrvConfig:
		return "UPDATE_NAMESRV_CONFIG"
	case GetNamesrvConfig:
		return "GET_NAMESRV_CONFIG"
	case SendBatchMessage:
		return "SEND_BATCH_MESSAGE"
	case QueryConsumeQueue:
		return "QUERY_CONSUME_QUEUE"
	case QueryDataVersion:
		return "QUERY_DATA_VERSION"
	case ResumeCheckHalfMessage:
		return "RESUME_CHECK_HALF_MESSAGE"
	case SendReplyMessage:
		return "SEND_REPLY_MESSAGE"
	case SendReplyMessageV2:
		return "SEND_REPLY_MESSAGE_V2"
	case PushReplyMessageToClient:
		return "PUSH_REPLY_MESSAGE_TO_CLIENT"
	case AddWritePermOfBroker:
		return "ADD_WRITE_PERM_OF_BROKER"
	case GetAllProducerInfo:
		return "GET_ALL_PRODUCER_INFO"
	case DeleteExpiredCommitLog:
		return "DELETE_EXPIRED_COMMITLOG"
	case QueryTopicsByConsumer:
		return "QUERY_TOPICS_BY_CONSUMER"
	case QuerySubscriptionByConsumer:
		return "QUERY_SUBSCRIPTION_BY_CONSUMER"
	case GetTopicConfig:
		return "GET_TOPIC_CONFIG"
	case GetSubscriptionGroupConfig:
		return "GET_SUBSCRIPTIONGROUP_CONFIG"
	case UpdateAndGetGroupForbidden:
		return "UPDATE_AND_GET_GROUP_FORBIDDEN"
	case CheckRocksDBCQWriteProgress:
		return "CHECK_ROCKSDB_CQ_WRITE_PROGRESS"
	case ExportRocksDBConfigToJSON:
		return "EXPORT_ROCKSDB_CONFIG_TO_JSON"
	case LitePullMessage:
		return "LITE_PULL_MESSAGE"
	case RecallMessage:
		return "RECALL_MESSAGE"
	case QueryAssignment:
		return "QUERY_ASSIGNMENT"
	case SetMessageRequestMode:
		return "SET_MESSAGE_REQUEST_MODE"
	case GetAllMessageRequestMode:
		return "GET_ALL_MESSAGE_REQUEST_MODE"
	case UpdateAndCreateStaticTopic:
		return "UPDATE_AND_CREATE_STATIC_TOPIC"
	case GetBrokerMemberGroup:
		return "GET_BROKER_MEMBER_GROUP"
	case AddBroker:
		return "ADD_BROKER"
	case RemoveBroker:
		return "REMOVE_BROKER"
	case BrokerHeartbeat:
		return "BROKER_HEARTBEAT"
	case NotifyMinBrokerIDChange:
		return "NOTIFY_MIN_BROKER_ID_CHANGE"
	case ExchangeBrokerHAInfo:
		return "EXCHANGE_BROKER_HA_INFO"
	case GetBrokerHAStatus:
		return "GET_BROKER_HA_STATUS"
	case ResetMasterFlushOffset:
		return "RESET_MASTER_FLUSH_OFFSET"
	case ControllerAlterSyncStateSet:
		return "CONTROLLER_ALTER_SYNC_STATE_SET"
	case ControllerElectMaster:
		return "CONTROLLER_ELECT_MASTER"
	case ControllerRegisterBroker:
		return "CONTROLLER_REGISTER_BROKER"
	case ControllerGetReplicaInfo:
		return "CONTROLLER_GET_REPLICA_INFO"
	case ControllerGetMetadataInfo:
		return "CONTROLLER_GET_METADATA_INFO"
	case ControllerGetSyncStateData:
		return "CONTROLLER_GET_SYNC_STATE_DATA"
	case GetBrokerEpochCache:
		return "GET_BROKER_EPOCH_CACHE"
	case NotifyBrokerRoleChanged:
		return "NOTIFY_BROKER_ROLE_CHANGED"
	case UpdateControllerConfig:
		return "UPDATE_CONTROLLER_CONFIG"
	case GetControllerConfig:
		return "GET_CONTROLLER_CONFIG"
	case CleanBrokerData:
		return "CLEAN_BROKER_DATA"
	case ControllerGetNextBrokerID:
		return "CONTROLLER_GET_NEXT_BROKER_ID"
	case ControllerApplyBrokerID:
		return "CONTROLLER_APPLY_BROKER_ID"
	case BrokerCloseChannelRequest:
		return "BROKER_CLOSE_CHANNEL_REQUEST"
	case CheckNotActiveBrokerRequest:
		return "CHECK_NOT_ACTIVE_BROKER_REQUEST"
	case GetBrokerLiveInfoRequest:
		return "GET_BROKER_LIVE_INFO_REQUEST"
	case GetSyncStateDataRequest:
		return "GET_SYNC_STATE_DATA_REQUEST"
	case RaftBrokerHeartBeatEventRequest:
		return "RAFT_BROKER_HEART_BEAT_EVENT_REQUEST"
	case UpdateColdDataFlowCtrConfig:
		return "UPDATE_COLD_DATA_FLOW_CTR_CONFIG"
	case RemoveColdDataFlowCtrConfig:
		return "REMOVE_COLD_DATA_FLOW_CTR_CONFIG"
	case GetColdDataFlowCtrInfo:
		return "GET_COLD_DATA_FLOW_CTR_INFO"
	case SetCommitLogReadMode:
		return "SET_COMMITLOG_READ_MODE"
	case AuthCreateUser:
		return "AUTH_CREATE_USER"
	case AuthUpdateUser:
		return "AUTH_UPDATE_USER"
	case AuthDeleteUser:
		return "AUTH_DELETE_USER"
	case AuthGetUser:
		return "AUTH_GET_USER"
	case AuthListUser:
		return "AUTH_LIST_USER"
	case AuthCreateACL:
		return "AUTH_CREATE_ACL"
	case AuthUpdateACL:
		return "AUTH_UPDATE_ACL"
	case AuthDeleteACL:
		return "AUTH_DELETE_ACL"
	case AuthGetACL:
		return "AUTH_GET_ACL"
	case AuthListACL:
		return "AUTH_LIST_ACL"
	case SwitchTimerEngine:
		return "SWITCH_TIMER_ENGINE"
	case DeleteTopicInBrokerList:
		return "DELETE_TOPIC_IN_BROKER_LIST"
	case DeleteSubscriptionGroupList:
		return "DELETE_SUBSCRIPTION_GROUP_LIST"
	case OpenWriter:
		return "OPEN_WRITER"
	case Resolve:
		return "RESOLVE"
	case PopMessage:
		return "POP_MESSAGE"
	case AckMessage:
		return "ACK_MESSAGE"
	case PeekMessage:
		return "PEEK_MESSAGE"
	case ChangeMessageInvisibleTime:
		return "CHANGE_MESSAGE_INVISIBLETIME"
	case Notification:
		return "NOTIFICATION"
	case PollingInfo:
		return "POLLING_INFO"
	case PopRollback:
		return "POP_ROLLBACK"
	case PopLiteMessage:
		return "POP_LITE_MESSAGE"
	case LiteSubscriptionCtl:
		return "LITE_SUBSCRIPTION_CTL"
	case AckLiteMessage:
		return "ACK_LITE_MESSAGE"
	case NotifyUnsubscribeLite:
		return "NOTIFY_UNSUBSCRIBE_LITE"
	case GetBrokerLiteInfo:
		return "GET_BROKER_LITE_INFO"
	case GetParentTopicInfo:
		return "GET_PARENT_TOPIC_INFO"
	case GetLiteTopicInfo:
		return "GET_LITE_TOPIC_INFO"
	case GetLiteClientInfo:
		return "GET_LITE_CLIENT_INFO"
	case GetLiteGroupInfo:
		return "GET_LITE_GROUP_INFO"
	case TriggerLiteDispatch:
		return "TRIGGER_LITE_DISPATCH"
	case BatchAckMessage:
		return "BATCH_ACK_MESSAGE"
	}
	return ""
}

// ResponseName returns RocketMQ's constant name of a response code, "" for an
// unknown one.
func ResponseName(code int) string {
	switch code {
	case Success:
		return "SUCCESS"
	case SystemError:
		return "SYSTEM_ERROR"
	case SystemBusy:
		return "SYSTEM_BUSY"
	case RequestCodeNotSupported:
		return "REQUEST_CODE_NOT_SUPPORTED"
	case TransactionFailed:
		return "TRANSACTION_FAILED"
	case FlushDiskTimeout:
		return "FLUSH_DISK_TIMEOUT"
	case SlaveNotAvailable:
		return "SLAVE_NOT_AVAILABLE"
	case FlushSlaveTimeout:
		return "FLUSH_SLAVE_TIMEOUT"
	case MessageIllegal:
		return "MESSAGE_ILLEGAL"
	case ServiceNotAvailable:
		return "SERVICE_NOT_AVAILABLE"
	case VersionNotSupported:
		return "VERSION_NOT_SUPPORTED"
	case NoPermission:
		return "NO_PERMISSION"
	case TopicNotExist:
		return "TOPIC_NOT_EXIST"
	case TopicExistAlready:
		return "TOPIC_EXIST_ALREADY"
	case PullNotFound:
		return "PULL_NOT_FOUND"
	case PullRetryImmediately:
		return "PULL_RETRY_IMMEDIATELY"
	case PullOffsetMoved:
		return "PULL_OFFSET_MOVED"
	case QueryNotFound:
		return "QUERY_NOT_FOUND"
	case SubscriptionParseFailed:
		return "SUBSCRIPTION_PARSE_FAILED"
	case SubscriptionNotExist:
		return "SUBSCRIPTION_NOT_EXIST"
	case SubscriptionNotLatest:
		return "SUBSCRIPTION_NOT_LATEST"
	case SubscriptionGroupNotExist:
		return "SUBSCRIPTION_GROUP_NOT_EXIST"
	case FilterDataNotExist:
		return "FILTER_DATA_NOT_EXIST"
	case FilterDataNotLatest:
		return "FILTER_DATA_NOT_LATEST"
	case InvalidParameter:
		return "INVALID_PARAMETER"
	case TransactionShouldCommit:
		return "TRANSACTION_SHOULD_COMMIT"
	case TransactionShouldRollback:
		return "TRANSACTION_SHOULD_ROLLBACK"
	case TransactionStateUnknow:
		return "TRANSACTION_STATE_UNKNOW"
	case TransactionStateGroupWrong:
		return "TRANSACTION_STATE_GROUP_WRONG"
	case NoBuyerID:
		return "NO_BUYER_ID"
	case NotInCurrentUnit:
		return "NOT_IN_CURRENT_UNIT"
	case ConsumerNotOnline:
		return "CONSUMER_NOT_ONLINE"
	case ConsumeMsgTimeout:
		return "CONSUME_MSG_TIMEOUT"
	case NoMessage:
		return "NO_MESSAGE"
	case PollingFull:
		return "POLLING_FULL"
	case PollingTimeout:
		return "POLLING_TIMEOUT"
	case BrokerNotExist:
		return "BROKER_NOT_EXIST"
	case BrokerDispatchNotComplete:
		return "BROKER_DISPATCH_NOT_COMPLETE"
	case BroadcastConsumption:
		return "BROADCAST_CONSUMPTION"
	case FlowControl:
		return "FLOW_CONTROL"
	case NotLeaderForQueue:
		return "NOT_LEADER_FOR_QUEUE"
	case IllegalOperation:
		return "ILLEGAL_OPERATION"
	case RPCUnknown:
		return "RPC_UNKNOWN"
	case RPCAddrIsNull:
		return "RPC_ADDR_IS_NULL"
	case RPCSendToChannelFailed:
		return "RPC_SEND_TO_CHANNEL_FAILED"
	case RPCTimeOut:
		return "RPC_TIME_OUT"
	case GoAway:
		return "GO_AWAY"
	case ControllerFencedMasterEpoch:
		return "CONTROLLER_FENCED_MASTER_EPOCH"
	case ControllerFencedSyncStateSetEpoch:
		return "CONTROLLER_FENCED_SYNC_STATE_SET_EPOCH"
	case ControllerInvalidMaster:
		return "CONTROLLER_INVALID_MASTER"
	case ControllerInvalidReplicas:
		return "CONTROLLER_INVALID_REPLICAS"
	case ControllerMasterNotAvailable:
		return "CONTROLLER_MASTER_NOT_AVAILABLE"
	case ControllerInvalidRequest:
		return "CONTROLLER_INVALID_REQUEST"
	case ControllerBrokerNotAlive:
		return "CONTROLLER_BROKER_NOT_ALIVE"
	case ControllerNotLeader:
		return "CONTROLLER_NOT_LEADER"
	case ControllerBrokerMetadataNotExist:
		return "CONTROLLER_BROKER_METADATA_NOT_EXIST"
	case ControllerInvalidCleanBrokerMetadata:
		return "CONTROLLER_INVALID_CLEAN_BROKER_METADATA"
	case ControllerBrokerNeedToBeRegistered:
		return "CONTROLLER_BROKER_NEED_TO_BE_REGISTERED"
	case ControllerMasterStillExist:
		return "CONTROLLER_MASTER_STILL_EXIST"
	case ControllerElectMasterFailed:
		return "CONTROLLER_ELECT_MASTER_FAILED"
	case ControllerAlterSyncStateSetFailed:
		return "CONTROLLER_ALTER_SYNC_STATE_SET_FAILED"
	case ControllerBrokerIDInvalid:
		return "CONTROLLER_BROKER_ID_INVALID"
	case ControllerJRaftInternalError:
		return "CONTROLLER_JRAFT_INTERNAL_ERROR"
	case ControllerBrokerLiveInfoNotExists:
		return "CONTROLLER_BROKER_LIVE_INFO_NOT_EXISTS"
	case LMQQuotaExceeded:
		return "LMQ_QUOTA_EXCEEDED"
	case LiteSubscriptionQuotaExceeded:
		return "LITE_SUBSCRIPTION_QUOTA_EXCEEDED"
	case UserNotExist:
		return "USER_NOT_EXIST"
	case PolicyNotExist:
		return "POLICY_NOT_EXIST"
	case Stale:
		return "STALE"
	case Fenced:
		return "FENCED"
	case Duplicate:
		return "DUPLICATE"
	case Gap:
		return "GAP"
	case Gone:
		return "GONE"
	}
	return ""
}
