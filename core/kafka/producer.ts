// A producer whose records form a gapless run: one request at a time, each acknowledged by all in-sync
// replicas before the next goes out, repeated by kafkajs under the same sequence numbers so that the
// brokers write it once, and after the first that failed for good nothing more.
import type { CompressionTypes, Kafka, Message, Producer as Library, TopicMessages } from 'kafkajs';
import kafkajs from 'kafkajs';
import { BanyanError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { KafkaRecord, Producer } from './client.ts';
import type { KafkaConnection } from './connection.ts';
import { asBanyanError, connectKafkajs } from './kafkajs.ts';
import { WholeBatches } from './whole-batch.ts';

/** Below what a broker takes by default (max.message.bytes, 1 MiB), counting what each record adds. */
const REQUEST_BYTES = 900_000;
/** kafkajs copies a partition's list once for each record that it adds. */
const REQUEST_RECORDS = 1_000;
const OVERHEAD_BYTES = 40;
/** kafkajs counts a sequence past its end wrongly, after 2 147 483 647 records of a partition. */
const RECORDS_OF_ONE_IDENTITY = 1_000_000_000;

/** Throws KAFKA_UNREACHABLE, KAFKA_REFUSED. */
export async function openProducer(connection: KafkaConnection, log: Logger): Promise<Producer> {
  const kafka = connectKafkajs(connection, log);
  const compression = {
    none: kafkajs.CompressionTypes.None,
    gzip: kafkajs.CompressionTypes.GZIP,
    zstd: kafkajs.CompressionTypes.ZSTD,
  }[connection.compression];
  const batches = new WholeBatches();
  const library = await connectProducer(kafka, batches);
  return new GaplessProducer({ kafka, batches, compression }, library);
}

async function connectProducer(kafka: Kafka, batches: WholeBatches): Promise<Library> {
  const library = kafka.producer({
    idempotent: true,
    allowAutoTopicCreation: false,
    createPartitioner: batches.createPartitioner,
  });
  try {
    await library.connect();
    return library;
  } catch (error) {
    await library.disconnect().catch(() => undefined);
    throw asBanyanError(error, 'a producer connects');
  }
}

interface Means {
  readonly kafka: Kafka;
  readonly batches: WholeBatches;
  readonly compression: CompressionTypes;
}

class GaplessProducer implements Producer {
  readonly #means: Means;
  #library: Library;
  #sent = 0;
  /** Settles when all that was asked for so far has been sent, or refused. */
  #last: Promise<void> = Promise.resolve();
  #failure: BanyanError | undefined;
  #closed: Promise<void> | undefined;

  constructor(means: Means, library: Library) {
    this.#means = means;
    this.#library = library;
  }

  send(records: readonly KafkaRecord[]): Promise<void> {
    const sent = this.#last.then(() => this.#write(records));
    this.#last = sent.catch(() => undefined);
    return sent;
  }

  close(): Promise<void> {
    this.#closed ??= this.#last.then(async () => {
      this.#failure ??= new BanyanError('KAFKA_UNREACHABLE', 'the producer is closed');
      await this.#library.disconnect().catch(() => undefined);
    });
    return this.#closed;
  }

  async #write(records: readonly KafkaRecord[]): Promise<void> {
    for (const topicMessages of requests(records)) {
      if (this.#failure) throw this.#failure;
      try {
        if (this.#sent > RECORDS_OF_ONE_IDENTITY) await this.#renew();
        const { batches, compression } = this.#means;
        await batches.send(this.#library, { acks: -1, topicMessages, compression });
        for (const { messages } of topicMessages) this.#sent += messages.length;
      } catch (error) {
        this.#failure = asBanyanError(error, 'records are written');
        throw this.#failure;
      }
    }
  }

  async #renew(): Promise<void> {
    await this.#library.disconnect();
    this.#library = await connectProducer(this.#means.kafka, this.#means.batches);
    this.#sent = 0;
  }
}

/** Cuts records into requests, each topic's in order. A record that is larger than a request goes alone. */
function* requests(records: readonly KafkaRecord[]): Generator<TopicMessages[]> {
  let topics = new Map<string, Message[]>();
  let bytes = 0;
  let count = 0;
  for (const record of records) {
    const { message, size } = messageOfRecord(record);
    if (count > 0 && (bytes + size > REQUEST_BYTES || count === REQUEST_RECORDS)) {
      yield listed(topics);
      topics = new Map();
      bytes = 0;
      count = 0;
    }
    const messages = topics.get(record.topic);
    if (messages) messages.push(message);
    else topics.set(record.topic, [message]);
    bytes += size;
    count += 1;
  }
  if (count > 0) yield listed(topics);
}

function listed(topics: ReadonlyMap<string, Message[]>): TopicMessages[] {
  return [...topics].map(([topic, messages]) => ({ topic, messages }));
}

function messageOfRecord({ key, value, headers, partition }: KafkaRecord): {
  message: Message;
  size: number;
} {
  const message: Message = {
    key: key === null ? null : Buffer.from(key),
    value: value === null ? null : Buffer.from(value),
    headers: { ...headers },
    ...(partition !== undefined && { partition }),
  };
  let size = OVERHEAD_BYTES + (message.key?.length ?? 0) + (message.value?.length ?? 0);
  for (const [name, text] of Object.entries(headers))
    size += OVERHEAD_BYTES + name.length * 3 + text.length * 3;
  return { message, size };
}
