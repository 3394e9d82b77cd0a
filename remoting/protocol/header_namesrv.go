package protocol

import "github.com/millrace/millrace/remoting"

// GetRouteInfoHeader asks for a route (105).
type GetRouteInfoHeader struct {
	Topic                  string
	AcceptStandardJSONOnly bool
}

func (h *GetRouteInfoHeader) walk(k *codec) {
	k.str("topic", &h.Topic, required)
	k.bool("acceptStandardJsonOnly", &h.AcceptStandardJSONOnly, optional)
}

// Encode writes the header into c.
func (h *GetRouteInfoHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *GetRouteInfoHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "GetRouteInfoRequestHeader", h.walk)
}

// RegisterBrokerHeader registers a broker (103).
type RegisterBrokerHeader struct {
	BrokerName             string
	BrokerAddr             string
	ClusterName            string
	HAServerAddr           string
	BrokerID               int64
	HeartbeatTimeoutMillis int64
	EnableActingMaster     bool
	Compressed             bool
	BodyCRC32              int32
}

func (h *RegisterBrokerHeader) walk(k *codec) {
	k.str("brokerName", &h.BrokerName, required)
	k.str("brokerAddr", &h.BrokerAddr, required)
	k.str("clusterName", &h.ClusterName, required)
	k.str("haServerAddr", &h.HAServerAddr, required)
	k.int64("brokerId", &h.BrokerID, required)
	k.int64("heartbeatTimeoutMillis", &h.HeartbeatTimeoutMillis, optional)
	k.bool("enableActingMaster", &h.EnableActingMaster, optional)
	k.bool("compressed", &h.Compressed, optional)
	k.int32("bodyCrc32", &h.BodyCRC32, optional)
}

// Encode writes the header into c.
func (h *RegisterBrokerHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *RegisterBrokerHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "RegisterBrokerRequestHeader", h.walk)
}

// RegisterBrokerResponseHeader answers RegisterBroker.
type RegisterBrokerResponseHeader struct {
	HAServerAddr string
	MasterAddr   string
}

func (h *RegisterBrokerResponseHeader) walk(k *codec) {
	k.str("haServerAddr", &h.HAServerAddr, optional)
	k.str("masterAddr", &h.MasterAddr, optional)
}

// Encode writes the header into c.
func (h *RegisterBrokerResponseHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *RegisterBrokerResponseHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "RegisterBrokerResponseHeader", h.walk)
}

// UnregisterBrokerHeader takes a broker out of the routes (104). QueryDataVersion (322) has the same fields.
type UnregisterBrokerHeader struct {
	BrokerName  string
	BrokerAddr  string
	ClusterName string
	BrokerID    int64
}

func (h *UnregisterBrokerHeader) walk(k *codec) {
	k.str("brokerName", &h.BrokerName, required)
	k.str("brokerAddr", &h.BrokerAddr, required)
	k.str("clusterName", &h.ClusterName, required)
	k.int64("brokerId", &h.BrokerID, required)
}

// Encode writes the header into c.
func (h *UnregisterBrokerHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *UnregisterBrokerHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "UnRegisterBrokerRequestHeader", h.walk)
}

// QueryDataVersionResponseHeader answers QueryDataVersion (322); the body is the name server's DataVersion.
type QueryDataVersionResponseHeader struct {
	Changed bool
}

func (h *QueryDataVersionResponseHeader) walk(k *codec) {
	k.bool("changed", &h.Changed, required)
}

// Encode writes the header into c.
func (h *QueryDataVersionResponseHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *QueryDataVersionResponseHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "QueryDataVersionResponseHeader", h.walk)
}

// KVConfigHeader puts, gets or deletes a value (100, 101, 102), or lists a namespace (219).
type KVConfigHeader struct {
	Namespace string
	Key       string
	Value     string
}

func (h *KVConfigHeader) walk(k *codec) {
	k.str("namespace", &h.Namespace, required)
	k.str("key", &h.Key, optional)
	k.str("value", &h.Value, optional)
}

// Encode writes the header into c.
func (h *KVConfigHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *KVConfigHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "PutKVConfigRequestHeader", h.walk)
}

// KVConfigResponseHeader answers GetKVConfig (101).
type KVConfigResponseHeader struct {
	Value string
}

func (h *KVConfigResponseHeader) walk(k *codec) {
	k.str("value", &h.Value, optional)
}

// Encode writes the header into c.
func (h *KVConfigResponseHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *KVConfigResponseHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "GetKVConfigResponseHeader", h.walk)
}

// WritePermHeader names a broker whose write permission is taken or given (205, 327).
type WritePermHeader struct {
	BrokerName string
}

func (h *WritePermHeader) walk(k *codec) {
	k.str("brokerName", &h.BrokerName, required)
}

// Encode writes the header into c.
func (h *WritePermHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *WritePermHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "WipeWritePermOfBrokerRequestHeader", h.walk)
}
