package protocol

// Bits of a pull's sysFlag.
const (
	PullFlagCommitOffset int32 = 0x1 // CommitOffset is meant
	PullFlagSuspend      int32 = 0x2 // the broker may hold the request
	PullFlagSubscription int32 = 0x4 // Subscription is meant
	PullFlagClassFilter  int32 = 0x8
	PullFlagLitePull     int32 = 0x10
)

// Bits of a topic's perm.
const (
	PermInherit int32 = 1
	PermWrite   int32 = 2
	PermRead    int32 = 4
)

// Expression types of subscriptions.
const (
	ExpressionTag   = "TAG"
	ExpressionSQL92 = "SQL92"
	SubscriptionAll = "*"
)

// Values of ConsumerData.
const (
	ConsumeActively         = "CONSUME_ACTIVELY"
	ConsumePassively        = "CONSUME_PASSIVELY"
	ConsumePop              = "CONSUME_POP"
	ModelBroadcasting       = "BROADCASTING"
	ModelClustering         = "CLUSTERING"
	FromLastOffset          = "CONSUME_FROM_LAST_OFFSET"
	FromFirstOffset         = "CONSUME_FROM_FIRST_OFFSET"
	FromTimestamp           = "CONSUME_FROM_TIMESTAMP"
	FilterSingleTag         = "SINGLE_TAG"
	FilterMultiTag          = "MULTI_TAG"
	BoundaryLower           = "LOWER"
	BoundaryUpper           = "UPPER"
	OrderTopicConfig        = "ORDER_TOPIC_CONFIG" // namespace of KV config
	MasterID          int64 = 0
)
