// Debezium's own engine with its PostgreSQL connector, for tests and benchmarks to hold ours against.
// Takes a properties file: what begins with `harness.` is for us, the rest is the engine's. Writes each
// record to stdout as a line of JSON, its key and value as Connect's JsonConverter writes them; or, with
// harness.kafka, produces to Kafka as a Connect worker does and writes how many it has by now.
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.debezium.embedded.Connect;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.RecordChangeEvent;
import io.debezium.engine.format.ChangeEventFormat;
import java.io.FileInputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.connect.header.Header;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.source.SourceRecord;
import org.apache.kafka.connect.storage.HeaderConverter;
import org.apache.kafka.connect.storage.SimpleHeaderConverter;

public class Engine {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final PrintStream OUT = new PrintStream(System.out, false, StandardCharsets.UTF_8);

    private final JsonConverter keys = new JsonConverter();
    private final JsonConverter values = new JsonConverter();
    private final HeaderConverter headers;
    private final KafkaProducer<byte[], byte[]> producer;
    private long produced = 0;

    public static void main(String[] args) throws Exception {
        Properties all = new Properties();
        try (FileInputStream file = new FileInputStream(args[0])) {
            all.load(file);
        }
        Properties own = new Properties();
        Properties engine = new Properties();
        for (String name : all.stringPropertyNames())
            (name.startsWith("harness.") ? own : engine).setProperty(name, all.getProperty(name));
        new Engine(own).run(engine);
    }

    private Engine(Properties own) {
        String schemas = own.getProperty("harness.schemas", "false");
        keys.configure(Map.of("schemas.enable", schemas), true);
        values.configure(Map.of("schemas.enable", schemas), false);
        if ("json".equals(own.getProperty("harness.headers", "simple"))) {
            JsonConverter json = new JsonConverter();
            json.configure(Map.of("schemas.enable", schemas, "converter.type", "header"));
            headers = json;
        } else headers = new SimpleHeaderConverter();
        String brokers = own.getProperty("harness.kafka");
        // As a Connect worker sets its producers.
        producer = brokers == null ? null : new KafkaProducer<>(Map.of(
            "bootstrap.servers", brokers, "acks", "all", "max.in.flight.requests.per.connection", "1",
            "delivery.timeout.ms", Integer.MAX_VALUE, "max.request.size", 16_777_216),
            new ByteArraySerializer(), new ByteArraySerializer());
    }

    private void run(Properties properties) throws Exception {
        DebeziumEngine<RecordChangeEvent<SourceRecord>> engine = DebeziumEngine
            .create(ChangeEventFormat.of(Connect.class))
            .using(properties)
            .using(new DebeziumEngine.ConnectorCallback() {
                @Override
                public void pollingStarted() {
                    say("polling", null);
                }
            })
            .using((success, message, error) -> say(success ? "completed" : "failed", message))
            .notifying((records, committer) -> {
                if (producer == null) print(records);
                else produce(records);
                for (RecordChangeEvent<SourceRecord> record : records) committer.markProcessed(record);
                committer.markBatchFinished();
            })
            .build();
        Thread main = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                engine.close();
                main.join(10_000);
            } catch (Exception error) {
                System.err.println(error);
            }
        }));
        engine.run();
    }

    private void print(List<RecordChangeEvent<SourceRecord>> records) {
        for (RecordChangeEvent<SourceRecord> event : records) {
            SourceRecord record = event.record();
            ObjectNode line = JSON.createObjectNode();
            line.put("topic", record.topic());
            line.put("key", text(keys.fromConnectData(record.topic(), record.keySchema(), record.key())));
            line.put("value", text(values.fromConnectData(record.topic(), record.valueSchema(), record.value())));
            ObjectNode named = line.putObject("headers");
            for (Header header : record.headers()) named.put(header.key(), text(bytes(record, header)));
            OUT.println(line);
        }
        OUT.flush();
    }

    private void produce(List<RecordChangeEvent<SourceRecord>> records) throws InterruptedException {
        List<Future<RecordMetadata>> pending = new ArrayList<>(records.size());
        for (RecordChangeEvent<SourceRecord> event : records) {
            SourceRecord record = event.record();
            ProducerRecord<byte[], byte[]> out = new ProducerRecord<>(
                record.topic(), record.kafkaPartition(),
                keys.fromConnectData(record.topic(), record.keySchema(), record.key()),
                values.fromConnectData(record.topic(), record.valueSchema(), record.value()));
            for (Header header : record.headers()) out.headers().add(header.key(), bytes(record, header));
            pending.add(producer.send(out));
        }
        for (Future<RecordMetadata> one : pending)
            try {
                one.get();
            } catch (java.util.concurrent.ExecutionException error) {
                throw new IllegalStateException(error.getCause());
            }
        produced += records.size();
        ObjectNode line = JSON.createObjectNode();
        line.put("event", "produced");
        line.put("records", produced);
        OUT.println(line);
        OUT.flush();
    }

    private byte[] bytes(SourceRecord record, Header header) {
        return headers.fromConnectHeader(record.topic(), header.key(), header.schema(), header.value());
    }

    private static synchronized void say(String event, String message) {
        ObjectNode line = JSON.createObjectNode();
        line.put("event", event);
        if (message != null) line.put("message", message);
        OUT.println(line);
        OUT.flush();
    }

    private static String text(byte[] bytes) {
        return bytes == null ? null : new String(bytes, StandardCharsets.UTF_8);
    }
}
