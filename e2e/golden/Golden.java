import java.io.PrintStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.rocketmq.common.MQVersion;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.TopicFilterType;
import org.apache.rocketmq.common.UtilAll;
import org.apache.rocketmq.common.compression.CompressionType;
import org.apache.rocketmq.common.compression.CompressorFactory;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.common.message.MessageExtBrokerInner;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.common.message.MessageVersion;
import org.apache.rocketmq.common.sysflag.MessageSysFlag;
import org.apache.rocketmq.remoting.CommandCustomHeader;
import org.apache.rocketmq.remoting.protocol.DataVersion;
import org.apache.rocketmq.remoting.protocol.LanguageCode;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;
import org.apache.rocketmq.remoting.protocol.RemotingSerializable;
import org.apache.rocketmq.remoting.protocol.SerializeType;
import org.apache.rocketmq.remoting.protocol.admin.ConsumeStats;
import org.apache.rocketmq.remoting.protocol.admin.OffsetWrapper;
import org.apache.rocketmq.remoting.protocol.admin.TopicOffset;
import org.apache.rocketmq.remoting.protocol.admin.TopicStatsTable;
import org.apache.rocketmq.remoting.protocol.body.CheckClientRequestBody;
import org.apache.rocketmq.remoting.protocol.body.ClusterInfo;
import org.apache.rocketmq.remoting.protocol.body.Connection;
import org.apache.rocketmq.remoting.protocol.body.ConsumerConnection;
import org.apache.rocketmq.remoting.protocol.header.GetConsumerListByGroupResponseBody;
import org.apache.rocketmq.remoting.protocol.body.GroupList;
import org.apache.rocketmq.remoting.protocol.body.KVTable;
import org.apache.rocketmq.remoting.protocol.body.LockBatchRequestBody;
import org.apache.rocketmq.remoting.protocol.body.LockBatchResponseBody;
import org.apache.rocketmq.remoting.protocol.body.ProducerConnection;
import org.apache.rocketmq.remoting.protocol.body.RegisterBrokerBody;
import org.apache.rocketmq.remoting.protocol.body.SubscriptionGroupWrapper;
import org.apache.rocketmq.remoting.protocol.body.TopicConfigAndMappingSerializeWrapper;
import org.apache.rocketmq.remoting.protocol.body.TopicConfigSerializeWrapper;
import org.apache.rocketmq.remoting.protocol.body.TopicList;
import org.apache.rocketmq.remoting.protocol.header.EndTransactionRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.PullMessageRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.PullMessageResponseHeader;
import org.apache.rocketmq.remoting.protocol.header.SendMessageRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.SendMessageRequestHeaderV2;
import org.apache.rocketmq.remoting.protocol.header.SendMessageResponseHeader;
import org.apache.rocketmq.remoting.protocol.heartbeat.ConsumeType;
import org.apache.rocketmq.remoting.protocol.heartbeat.ConsumerData;
import org.apache.rocketmq.remoting.protocol.heartbeat.HeartbeatData;
import org.apache.rocketmq.remoting.protocol.heartbeat.MessageModel;
import org.apache.rocketmq.remoting.protocol.heartbeat.ProducerData;
import org.apache.rocketmq.remoting.protocol.filter.FilterAPI;
import org.apache.rocketmq.remoting.protocol.heartbeat.SubscriptionData;
import org.apache.rocketmq.remoting.protocol.route.BrokerData;
import org.apache.rocketmq.remoting.protocol.route.QueueData;
import org.apache.rocketmq.remoting.protocol.route.TopicRouteData;
import org.apache.rocketmq.remoting.protocol.subscription.SubscriptionGroupConfig;
import org.apache.rocketmq.store.MessageExtEncoder;
import org.apache.rocketmq.store.config.MessageStoreConfig;

/**
 * Writes the bytes that Apache RocketMQ makes of fixed values. The tests of message, remoting and
 * remoting/protocol decode them to the same values and encode those to the same bytes.
 */
public class Golden {
    static final String UNIQ = "7F0000010BB818B4AAC27D2B5E6A0000";

    static PrintStream out;

    public static void main(String[] args) throws Exception {
        Path root = Path.of(args[0]);
        to(root.resolve("message/testdata/golden.txt"), Golden::messages);
        to(root.resolve("remoting/testdata/golden.txt"), Golden::frames);
        to(root.resolve("remoting/protocol/testdata/golden.txt"), Golden::bodies);
    }

    interface Part {
        void write() throws Exception;
    }

    static void to(Path file, Part part) throws Exception {
        Files.createDirectories(file.getParent());
        out = new PrintStream(Files.newOutputStream(file), false, "UTF-8");
        out.println("# Recorded from Apache RocketMQ " + MQVersion.getVersionDesc(MQVersion.CURRENT_VERSION)
            + " by e2e/golden/run.sh. Name, then bytes in hex or text.");
        part.write();
        out.close();
        if (out.checkError()) {
            throw new IllegalStateException("cannot write " + file);
        }
    }

    static void hex(String name, byte[] b) {
        StringBuilder s = new StringBuilder(name).append(' ');
        for (byte x : b) {
            s.append(String.format("%02x", x));
        }
        out.println(s);
    }

    static void text(String name, Object value) {
        out.println(name + " " + value);
    }

    // ---- message

    static MessageExtBrokerInner inner(String topic, String born, String store) throws Exception {
        MessageExtBrokerInner m = new MessageExtBrokerInner();
        m.setTopic(topic);
        m.setBody("hello, 世界".getBytes(StandardCharsets.UTF_8));
        m.setFlag(7);
        m.setQueueId(3);
        m.setQueueOffset(1234567890123L);
        m.setBornTimestamp(1700000000123L);
        m.setStoreTimestamp(1700000000456L);
        m.setBornHost(new InetSocketAddress(InetAddress.getByName(born), 50123));
        m.setStoreHost(new InetSocketAddress(InetAddress.getByName(store), 10911));
        if (born.contains(":")) {
            m.setBornHostV6Flag();
        }
        if (store.contains(":")) {
            m.setStoreHostAddressV6Flag();
        }
        m.setReconsumeTimes(2);
        m.setPreparedTransactionOffset(99);
        Map<String, String> p = new LinkedHashMap<>();
        p.put("KEYS", "k1 k2");
        p.put("TAGS", "TagA");
        p.put("UNIQ_KEY", UNIQ);
        m.setPropertiesString(MessageDecoder.messageProperties2String(p));
        return m;
    }

    static void record(String name, MessageExtBrokerInner m) {
        m.setBodyCRC(UtilAll.crc32(m.getBody())); // as CommitLog does
        MessageExtEncoder encoder = new MessageExtEncoder(4 << 20, new MessageStoreConfig());
        if (encoder.encode(m) != null) {
            throw new IllegalStateException(name + " was refused");
        }
        ByteBuffer b = encoder.getEncoderBuffer();
        byte[] bytes = new byte[b.getInt(0)];
        b.get(0, bytes);
        hex(name, bytes);
    }

    static void messages() throws Exception {
        record("record-v1", inner("orders", "192.0.2.1", "127.0.0.1"));
        record("record-v1-born-v6", inner("orders", "2001:db8::1", "127.0.0.1"));
        record("record-v1-store-v6", inner("orders", "192.0.2.1", "2001:db8::2"));
        record("record-v1-both-v6", inner("orders", "2001:db8::1", "2001:db8::2"));
        MessageExtBrokerInner v2 = inner("t".repeat(200), "192.0.2.1", "127.0.0.1");
        v2.setVersion(MessageVersion.MESSAGE_VERSION_V2);
        record("record-v2", v2);
        MessageExtBrokerInner empty = inner("orders", "192.0.2.1", "127.0.0.1");
        empty.setBody(new byte[0]);
        empty.setPropertiesString("");
        record("record-empty", empty);
        MessageExtBrokerInner half = inner("orders", "192.0.2.1", "127.0.0.1");
        half.setSysFlag(MessageSysFlag.TRANSACTION_PREPARED_TYPE | MessageSysFlag.MULTI_TAGS_FLAG);
        record("record-prepared", half);

        for (CompressionType type : CompressionType.values()) {
            byte[] body = "compress me ".repeat(100).getBytes(StandardCharsets.UTF_8);
            hex("compressed-" + type, CompressorFactory.getCompressor(type).compress(body, 5));
            text("compression-flag-" + type, type.getCompressionFlag());
        }

        List<Message> batch = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            Message m = new Message("orders", "TagA", ("message " + i).getBytes(StandardCharsets.UTF_8));
            m.setFlag(i);
            if (i == 2) {
                m.getProperties().clear();
            }
            batch.add(m);
        }
        hex("batch", MessageDecoder.encodeMessages(batch));

        Map<String, String> p = new LinkedHashMap<>();
        p.put("KEYS", "k1 k2");
        p.put("WAIT", "true");
        hex("properties", MessageDecoder.messageProperties2String(p).getBytes(StandardCharsets.UTF_8));
        for (String s : Arrays.asList("a\u0001b", "a\u0001b\u0002", "\u0001b\u0002a\u0001\u0002c\u0001d",
            "abc\u0002d\u0001e=f\u0001g\u0002", "a\u0001b\u0002a\u0001c\u0002", "\u0002\u0002a\u0001b")) {
            StringBuilder b = new StringBuilder("parsed-properties ");
            for (byte x : s.getBytes(StandardCharsets.UTF_8)) {
                b.append(String.format("%02x", x));
            }
            MessageDecoder.string2messageProperties(s).entrySet().stream().sorted(Map.Entry.comparingByKey())
                .forEach(e -> b.append(' ').append(e.getKey()).append('=').append(e.getValue().replace('\u0001', '|')));
            out.println(b);
        }

        text("offset-id-v4", MessageDecoder.createMessageId(new InetSocketAddress("127.0.0.1", 10911), 0x123456789ABL));
        text("offset-id-v6", MessageDecoder.createMessageId(
            new InetSocketAddress(InetAddress.getByName("2001:db8::2"), 10911), 0x123456789ABL));
        for (String tag : Arrays.asList("TagA", "a", "polygenelubricants", "订单", "😀 emoji", "TagA||TagB")) {
            hex("tags-code-" + MessageExtBrokerInner.tagsString2tagsCode(TopicFilterType.SINGLE_TAG, tag),
                tag.getBytes(StandardCharsets.UTF_8));
        }
    }

    // ---- remoting

    static SendMessageRequestHeader send() {
        SendMessageRequestHeader h = new SendMessageRequestHeader();
        h.setProducerGroup("group_p");
        h.setTopic("orders");
        h.setDefaultTopic("TBW102");
        h.setDefaultTopicQueueNums(4);
        h.setQueueId(3);
        h.setSysFlag(0);
        h.setBornTimestamp(1700000000123L);
        h.setFlag(7);
        h.setProperties("KEYS\u0001k1 \"k2\"\u0002TAGS\u0001订单\u0002UNIQ_KEY\u0001" + UNIQ + "\u0002");
        h.setReconsumeTimes(0);
        h.setUnitMode(false);
        h.setMaxReconsumeTimes(16);
        h.setBatch(false);
        h.setBrokerName("broker-a");
        return h;
    }

    static void frame(String name, int code, CommandCustomHeader header, int opaque, byte[] body) {
        for (SerializeType type : SerializeType.values()) {
            RemotingCommand c = RemotingCommand.createRequestCommand(code, header);
            c.setOpaque(opaque);
            encode(name, c, type, body);
        }
    }

    static void answer(String name, int code, String remark, CommandCustomHeader header, int opaque, byte[] body) {
        for (SerializeType type : SerializeType.values()) {
            RemotingCommand c = header == null ? RemotingCommand.createResponseCommand(code, remark)
                : RemotingCommand.createResponseCommandWithHeader(code, header);
            c.setRemark(remark);
            c.setOpaque(opaque);
            encode(name, c, type, body);
        }
    }

    static void encode(String name, RemotingCommand c, SerializeType type, byte[] body) {
        c.setSerializeTypeCurrentRPC(type);
        c.setLanguage(LanguageCode.JAVA);
        c.setVersion(MQVersion.Version.V5_5_0.ordinal());
        c.setBody(body);
        ByteBuffer b = c.encode();
        byte[] bytes = new byte[b.remaining()];
        b.get(bytes);
        hex(name + "-" + type, bytes);
    }

    static void frames() throws Exception {
        byte[] body = "hello, 世界".getBytes(StandardCharsets.UTF_8);
        frame("send", 10, send(), 1, body);
        frame("send-v2", 310, SendMessageRequestHeaderV2.createSendMessageRequestHeaderV2(send()), 2, body);
        PullMessageRequestHeader pull = new PullMessageRequestHeader();
        pull.setConsumerGroup("group_c");
        pull.setTopic("orders");
        pull.setQueueId(3);
        pull.setQueueOffset(1234567890123L);
        pull.setMaxMsgNums(32);
        pull.setSysFlag(6);
        pull.setCommitOffset(0L);
        pull.setSuspendTimeoutMillis(15000L);
        pull.setSubscription("TagA || TagB");
        pull.setSubVersion(1700000000123L);
        pull.setExpressionType("TAG");
        frame("pull", 11, pull, 3, null);
        EndTransactionRequestHeader end = new EndTransactionRequestHeader();
        end.setTopic("orders");
        end.setProducerGroup("group_p");
        end.setTranStateTableOffset(5L);
        end.setCommitLogOffset(4096L);
        end.setCommitOrRollback(8);
        end.setFromTransactionCheck(true);
        end.setMsgId(UNIQ);
        end.setTransactionId(UNIQ);
        frame("end-transaction", 37, end, -4, null);
        frame("no-header", 26, null, 5, null);
        frame("wide-code", 200050, null, 6, null);

        SendMessageResponseHeader sent = new SendMessageResponseHeader();
        sent.setMsgId("7F00000100002A9F0000000000001000");
        sent.setQueueId(3);
        sent.setQueueOffset(1234567890123L);
        sent.setTransactionId(UNIQ);
        answer("sent", 0, null, sent, 2, null);
        PullMessageResponseHeader pulled = new PullMessageResponseHeader();
        pulled.setSuggestWhichBrokerId(0L);
        pulled.setNextBeginOffset(11L);
        pulled.setMinOffset(0L);
        pulled.setMaxOffset(12L);
        answer("pulled", 0, "FOUND", pulled, 3, body);
        answer("refused", 17, "topic[a\"b\\c\n\t] not exist, 世界 😀", null, 7, null);
    }

    // ---- bodies

    static void body(String name, RemotingSerializable b) {
        text(name, new String(b.encode(), StandardCharsets.UTF_8));
    }

    static <T> HashSet<T> set(T... values) {
        return new HashSet<>(Arrays.asList(values));
    }

    static TopicConfig topic(String name) {
        TopicConfig t = new TopicConfig(name, 8, 4, 6);
        t.setOrder(true);
        return t;
    }

    static void version(DataVersion v) {
        v.setStateVersion(1);
        v.setTimestamp(1700000000123L);
        v.getCounter().set(42);
    }

    static BrokerData broker() {
        HashMap<Long, String> addrs = new HashMap<>();
        addrs.put(0L, "127.0.0.1:10911");
        addrs.put(1L, "127.0.0.1:20911");
        return new BrokerData("cluster-a", "broker-a", addrs);
    }

    static void bodies() throws Exception {
        SubscriptionData sub = FilterAPI.buildSubscriptionData("orders", "TagA || TagB");
        sub.setSubVersion(1700000000123L);
        HeartbeatData heartbeat = new HeartbeatData();
        heartbeat.setClientID("192.0.2.1@1234");
        ProducerData producer = new ProducerData();
        producer.setGroupName("group_p");
        heartbeat.setProducerDataSet(set(producer));
        ConsumerData consumer = new ConsumerData();
        consumer.setGroupName("group_c");
        consumer.setConsumeType(ConsumeType.CONSUME_PASSIVELY);
        consumer.setMessageModel(MessageModel.CLUSTERING);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_LAST_OFFSET);
        consumer.setSubscriptionDataSet(set(sub));
        heartbeat.setConsumerDataSet(set(consumer));
        body("HeartbeatData", heartbeat);
        body("HeartbeatData-empty", new HeartbeatData());

        TopicRouteData route = new TopicRouteData();
        route.setOrderTopicConf("broker-a:4");
        QueueData queue = new QueueData();
        queue.setBrokerName("broker-a");
        queue.setReadQueueNums(8);
        queue.setWriteQueueNums(4);
        queue.setPerm(6);
        queue.setTopicSysFlag(0);
        route.setQueueDatas(new ArrayList<>(List.of(queue)));
        route.setBrokerDatas(new ArrayList<>(List.of(broker())));
        body("TopicRouteData", route);
        // What a name server answers to clients that do not ask for standard JSON.
        text("TopicRouteData-fastjson", "{\"brokerDatas\":[{\"brokerAddrs\":{0:\"127.0.0.1:10911\",1:\"127.0.0.1:20911\"},"
            + "\"brokerName\":\"broker-a\",\"cluster\":\"cluster-a\",\"enableActingMaster\":false}],"
            + "\"filterServerTable\":{},\"orderTopicConf\":\"broker-a:4\",\"queueDatas\":[{\"brokerName\":\"broker-a\","
            + "\"perm\":6,\"readQueueNums\":8,\"topicSysFlag\":0,\"writeQueueNums\":4}]}");

        ClusterInfo cluster = new ClusterInfo();
        HashMap<String, BrokerData> brokers = new HashMap<>();
        brokers.put("broker-a", broker());
        cluster.setBrokerAddrTable(brokers);
        HashMap<String, java.util.Set<String>> clusters = new HashMap<>();
        clusters.put("cluster-a", set("broker-a"));
        cluster.setClusterAddrTable(clusters);
        body("ClusterInfo", cluster);

        TopicList topics = new TopicList();
        topics.setTopicList(set("orders"));
        body("TopicList", topics);
        GroupList groups = new GroupList();
        groups.setGroupList(set("group_c"));
        body("GroupList", groups);
        KVTable kv = new KVTable();
        kv.getTable().put("brokerVersionDesc", "V5_5_0");
        body("KVTable", kv);
        DataVersion dataVersion = new DataVersion();
        version(dataVersion);
        body("DataVersion", dataVersion);

        TopicConfigSerializeWrapper wrapper = new TopicConfigSerializeWrapper();
        TopicConfig withAttributes = topic("orders");
        withAttributes.getAttributes().put("message.type", "FIFO");
        wrapper.getTopicConfigTable().put("orders", withAttributes);
        version(wrapper.getDataVersion());
        body("TopicConfigTable", wrapper);

        RegisterBrokerBody register = new RegisterBrokerBody();
        TopicConfigAndMappingSerializeWrapper mapping = new TopicConfigAndMappingSerializeWrapper();
        mapping.setTopicConfigTable(wrapper.getTopicConfigTable());
        mapping.setDataVersion(wrapper.getDataVersion());
        version(mapping.getMappingDataVersion());
        register.setTopicConfigSerializeWrapper(mapping);
        text("RegisterBrokerBody", new String(register.encode(false), StandardCharsets.UTF_8));
        hex("RegisterBrokerBody-packed", register.encode(true));

        SubscriptionGroupWrapper wrapped = new SubscriptionGroupWrapper();
        SubscriptionGroupConfig group = new SubscriptionGroupConfig();
        group.setGroupName("group_c");
        wrapped.getSubscriptionGroupTable().put("group_c", group);
        version(wrapped.getDataVersion());
        body("SubscriptionGroupTable", wrapped);

        MessageQueue mq = new MessageQueue("orders", "broker-a", 3);
        LockBatchRequestBody lock = new LockBatchRequestBody();
        lock.setConsumerGroup("group_c");
        lock.setClientId("192.0.2.1@1234");
        lock.setMqSet(set(mq));
        body("LockBatch", lock);
        LockBatchResponseBody locked = new LockBatchResponseBody();
        locked.setLockOKMQSet(set(mq));
        body("LockBatchResponse", locked);
        GetConsumerListByGroupResponseBody ids = new GetConsumerListByGroupResponseBody();
        ids.setConsumerIdList(List.of("192.0.2.1@1234", "192.0.2.2@5678"));
        body("ConsumerList", ids);
        CheckClientRequestBody check = new CheckClientRequestBody();
        check.setClientId("192.0.2.1@1234");
        check.setGroup("group_c");
        check.setSubscriptionData(sub);
        body("CheckClient", check);

        TopicStatsTable stats = new TopicStatsTable();
        TopicOffset offset = new TopicOffset();
        offset.setMinOffset(1);
        offset.setMaxOffset(1234567890123L);
        offset.setLastUpdateTimestamp(1700000000123L);
        Map<MessageQueue, TopicOffset> offsets = new ConcurrentHashMap<>();
        offsets.put(mq, offset);
        stats.setOffsetTable(offsets);
        body("TopicStatsTable", stats);
        ConsumeStats consumed = new ConsumeStats();
        OffsetWrapper w = new OffsetWrapper();
        w.setBrokerOffset(12);
        w.setConsumerOffset(10);
        w.setPullOffset(11);
        w.setLastTimestamp(1700000000123L);
        Map<MessageQueue, OffsetWrapper> wrappers = new ConcurrentHashMap<>();
        wrappers.put(mq, w);
        consumed.setOffsetTable(wrappers);
        consumed.setConsumeTps(1.5);
        body("ConsumeStats", consumed);

        Connection connection = new Connection();
        connection.setClientId("192.0.2.1@1234");
        connection.setClientAddr("192.0.2.1:50123");
        connection.setLanguage(LanguageCode.GO);
        connection.setVersion(317);
        ConsumerConnection consumers = new ConsumerConnection();
        consumers.setConnectionSet(set(connection));
        consumers.getSubscriptionTable().put("orders", sub);
        consumers.setConsumeType(ConsumeType.CONSUME_PASSIVELY);
        consumers.setMessageModel(MessageModel.CLUSTERING);
        consumers.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_LAST_OFFSET);
        body("ConsumerConnection", consumers);
        ProducerConnection producers = new ProducerConnection();
        producers.setConnectionSet(set(connection));
        body("ProducerConnection", producers);
    }
}
