package broker

import (
	"fmt"
	"strings"

	"github.com/millrace/millrace/broker/store"
)

// ForeignKey is a key of RocketMQ's broker.conf that this broker does not have, and whose
// loss would change what the file means.
type ForeignKey struct {
	Key string
	// matters tells whether the value asks for what is not there.
	matters func(value string) bool
	// Means is what the file asks for, Remedy what can be done.
	Means, Remedy string
}

// Refuse returns an error where the value asks for what this broker does not have.
func (k *ForeignKey) Refuse(value string) error {
	if !k.matters(value) {
		return nil
	}
	return fmt.Errorf("%s=%.200s: %s, which this broker does not have; %s", k.Key, value, k.Means, k.Remedy)
}

// RefuseForeign looks at a key of broker.conf that is none of Config's. The error refuses
// the start; without one the key may be ignored.
func RefuseForeign(key, value string) error {
	for _, k := range ForeignKeys() {
		if k.Key == key {
			return k.Refuse(value)
		}
	}
	return nil
}

func isTrue(v string) bool   { return strings.EqualFold(v, "true") }
func isFalse(v string) bool  { return !isTrue(v) } // as Java reads a boolean
func anything(v string) bool { return v != "" }

func except(usual ...string) func(string) bool {
	return func(v string) bool {
		for _, u := range usual {
			if strings.EqualFold(v, u) {
				return false
			}
		}
		return v != ""
	}
}

// ForeignKeys lists them. What is left out of it is a matter of speed or of tools, or asks
// for something that is refused by name where it is used.
func ForeignKeys() []ForeignKey {
	const (
		export = "keep this directory with Apache RocketMQ, and let consumers read it there"
		auth   = "protect the port otherwise (loopback, a firewall) and remove the key"
		alone  = "there is no replication yet; remove the key if one broker is enough"
	)
	return []ForeignKey{
		{"storeType", except("default"), "consume queues, topics and offsets are in RocksDB", export},
		{"configManagerVersion", except("v1"), "topics, groups and offsets are in RocksDB",
			export + ", or have RocketMQ write them as JSON first (configManagerVersion=v1)"},
		{"useSingleRocksDBForAllConfigs", isTrue, "topics, groups and offsets are in RocksDB", export},
		{"transRocksDBEnable", isTrue, "half messages are kept in RocksDB",
			"decide what is pending with Apache RocketMQ first, then remove the key"},
		{"timerRocksDBEnable", isTrue, "timed messages are kept in RocksDB", "let Apache RocketMQ deliver them first, then remove the key"},
		{"messageStorePlugIn", anything, "messages are in another storage too", export},
		{"readOnlyCommitLogStorePaths", anything, "files of the commit log are in further directories",
			"bring all of them into one directory, storePathCommitLog"},
		{"enableConsumeQueueExt", isTrue, "consume queues refer to a further file for their tags",
			"start once with Apache RocketMQ and enableConsumeQueueExt=false, or keep the directory there"},
		{"enableDLegerCommitLog", isTrue, "the commit log is one of DLedger's", export},
		{"enableControllerMode", isTrue, "a controller elects the master and counts the copies", alone},
		{"duplicationEnable", isTrue, "only what a second broker confirmed is read", alone},
		{"enableSlaveActingMaster", isTrue, "another broker serves for a master that is away", alone},
		{"inSyncReplicas", except("1"), "a message is acknowledged when so many brokers have it", alone},
		{"allAckInSyncStateSet", isTrue, "a message is acknowledged when every replica has it", alone},
		{"haMasterAddress", anything, "the broker is the copy of another", alone},
		{"aclEnable", isTrue, "requests are checked against an ACL", auth},
		{"authenticationEnabled", isTrue, "clients must prove who they are", auth},
		{"authorizationEnabled", isTrue, "clients may do only what they are allowed", auth},
		{"brokerPermission", except("6"), "the broker takes no messages, or hands out none",
			"give the topics a perm instead (millrace admin, mqadmin updateTopicPerm) and remove the key"},
		{"messageDelayLevel", except(store.DefaultConfig().MessageDelayLevel), "delay levels have other times",
			"delayed messages are refused here; remove the key if no producer sends them"},
		{"cleanFileForciblyEnable", isFalse, "no message goes before its time because the disk is full",
			"the oldest go when the disk is full; give it room for fileReservedTime and remove the key"},
		{"enableMultiDispatch", isTrue, "a message enters the queues of others too", "remove the key if no producer uses INNER_MULTI_DISPATCH"},
		{"enableLmq", isTrue, "light queues are made by messages", "remove the key if no producer uses them"},
		{"fetchNamesrvAddrByAddressServer", isTrue, "an address server tells the name servers",
			"write their addresses into namesrvAddr and remove the key"},
		{"fetchNameSrvAddrByDnsLookup", isTrue, "DNS tells the name servers", "write their addresses into namesrvAddr and remove the key"},
	}
}
