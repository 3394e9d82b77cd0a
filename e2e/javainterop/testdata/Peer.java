import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Sends to and receives from the cluster of the name server args[0], in RocketMQ's ways. */
public class Peer {
    static Message message(String text) {
        return new Message("peer", text.startsWith("blue") ? "blue" : "red", "key of " + text, text.getBytes(StandardCharsets.UTF_8));
    }

    static void ok(SendResult r) {
        if (r.getSendStatus() != SendStatus.SEND_OK) {
            throw new IllegalStateException(r.toString());
        }
    }

    public static void main(String[] args) throws Exception {
        TransactionMQProducer producer = new TransactionMQProducer("peer-p");
        producer.setNamesrvAddr(args[0]);
        producer.setTransactionListener(new TransactionListener() {
            public LocalTransactionState executeLocalTransaction(Message m, Object arg) {
                return (LocalTransactionState) arg;
            }

            public LocalTransactionState checkLocalTransaction(MessageExt m) {
                return LocalTransactionState.COMMIT_MESSAGE;
            }
        });
        producer.start();
        ok(producer.send(message("sync")));
        CountDownLatch async = new CountDownLatch(1);
        producer.send(message("async"), new SendCallback() {
            public void onSuccess(SendResult r) {
                async.countDown();
            }

            public void onException(Throwable e) {
                e.printStackTrace();
            }
        });
        if (!async.await(20, TimeUnit.SECONDS)) {
            throw new IllegalStateException("no answer to the asynchronous send");
        }
        producer.sendOneway(message("oneway"));
        List<Message> batch = new ArrayList<>();
        for (int i = 0; i < 5; i++) {
            batch.add(message("batch-" + i));
        }
        ok(producer.send(batch));
        ok(producer.send(message("selected"), (queues, m, arg) -> queues.get((Integer) arg), 1));
        ok(producer.send(message("blue")));
        ok(producer.send(message("large-" + "compressed ".repeat(2000))));
        ok(producer.sendMessageInTransaction(message("committed"), LocalTransactionState.COMMIT_MESSAGE));
        ok(producer.sendMessageInTransaction(message("rolled back"), LocalTransactionState.ROLLBACK_MESSAGE));
        ok(producer.sendMessageInTransaction(message("checked"), LocalTransactionState.UNKNOW));

        Set<String> pushed = ConcurrentHashMap.newKeySet();
        CountDownLatch all = new CountDownLatch(12);
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer("peer-c");
        consumer.setNamesrvAddr(args[0]);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe("peer", "red || green");
        consumer.registerMessageListener((MessageListenerConcurrently) (list, c) -> {
            for (MessageExt m : list) {
                if (pushed.add(new String(m.getBody(), StandardCharsets.UTF_8))) {
                    all.countDown();
                }
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        boolean arrived = all.await(40, TimeUnit.SECONDS);
        for (String text : pushed) {
            System.out.println("pushed " + text.substring(0, Math.min(20, text.length())));
        }
        if (!arrived) {
            throw new IllegalStateException("not everything was pushed");
        }
        consumer.shutdown();

        DefaultLitePullConsumer puller = new DefaultLitePullConsumer("peer-l");
        puller.setNamesrvAddr(args[0]);
        puller.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        puller.subscribe("peer", "blue");
        puller.start();
        List<MessageExt> polled = new ArrayList<>();
        for (int i = 0; i < 20 && polled.isEmpty(); i++) {
            polled = puller.poll(2000);
        }
        for (MessageExt m : polled) {
            System.out.println("polled " + new String(m.getBody(), StandardCharsets.UTF_8));
        }
        puller.shutdown();
        producer.shutdown();
        System.out.println("done");
        System.exit(0);
    }
}
