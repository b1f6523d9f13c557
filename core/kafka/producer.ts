// A producer whose records form a gapless run: one request at a time, each acknowledged by all in-sync
// replicas before the next goes out, repeated by kafkajs under the same sequence numbers so that a broker
// writes it once (twice at most where another broker's part failed meanwhile), and after the first that
// failed for good nothing more.
import type { CompressionTypes, Kafka, Producer as Library } from 'kafkajs';
import kafkajs from 'kafkajs';
import { BanyanError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { REQUEST_BYTES, type BatchLimits } from './batch-limits.ts';
import type { KafkaRecord, Producer } from './client.ts';
import type { KafkaConnection } from './connection.ts';
import { asBanyanError, connectKafkajs } from './kafkajs.ts';
import { createPartitioner } from './partitioner.ts';
import { PackedRecords, PLACE_BYTES, RecordPack } from './record-pack.ts';
import { sendWhole } from './whole-batch.ts';

/** Topics that an error names. */
const NAMES = 3;
/** kafkajs counts a sequence past its end wrongly, after 2 147 483 647 records of a partition. */
const RECORDS_OF_ONE_IDENTITY = 1_000_000_000;

/** Throws KAFKA_UNREACHABLE, KAFKA_REFUSED. */
export async function openProducer(
  connection: KafkaConnection,
  log: Logger,
  limits: BatchLimits,
): Promise<Producer> {
  const kafka = connectKafkajs(connection, log);
  const compression = {
    none: kafkajs.CompressionTypes.None,
    gzip: kafkajs.CompressionTypes.GZIP,
    zstd: kafkajs.CompressionTypes.ZSTD,
  }[connection.compression];
  const library = await connectProducer(kafka);
  return new GaplessProducer({ kafka, compression, limits }, library);
}

async function connectProducer(kafka: Kafka): Promise<Library> {
  const library = kafka.producer({
    idempotent: true,
    allowAutoTopicCreation: false,
    createPartitioner,
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
  readonly compression: CompressionTypes;
  readonly limits: BatchLimits;
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
    const pack = new RecordPack();
    for (const record of records) pack.append(record);
    return this.sendPacked([pack]);
  }

  sendPacked(packs: readonly RecordPack[]): Promise<void> {
    const sent = this.#last.then(() => this.#write(packs));
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

  async #write(packs: readonly RecordPack[]): Promise<void> {
    const { compression, limits } = this.#means;
    const named = new Set(packs.flatMap(({ topics }) => [...topics]));
    await this.#orFail(named, () => limits.learn(named));
    for (const topics of requests(packs, limits))
      await this.#orFail(topics.keys(), async () => {
        if (this.#sent > RECORDS_OF_ONE_IDENTITY) await this.#renew();
        await sendWhole(this.#library, topics, compression);
        for (const { length } of topics.values()) this.#sent += length;
      });
  }

  /** After the first failure for ever. */
  async #orFail(topics: Iterable<string>, work: () => Promise<void>): Promise<void> {
    if (this.#failure) throw this.#failure;
    try {
      await work();
    } catch (error) {
      this.#failure = asBanyanError(error, `records are written to ${namesOf([...topics])}`);
      throw this.#failure;
    }
  }

  async #renew(): Promise<void> {
    await this.#library.disconnect();
    this.#library = await connectProducer(this.#means.kafka);
    this.#sent = 0;
  }
}

/**
 * Cuts records into requests, each topic's in order, and none with more for a topic than that takes at once.
 * A record that is larger goes alone.
 */
function* requests(
  packs: readonly RecordPack[],
  limits: Pick<BatchLimits, 'of'>,
): Generator<Map<string, PackedRecords>> {
  let topics = new Map<string, PackedRecords>();
  let bytes = 0;
  for (const pack of packs)
    for (let index = 0; index < pack.count; index++) {
      const topic = pack.topicOf(index);
      const size = PLACE_BYTES + pack.sizeOf(index);
      let records = topics.get(topic);
      const isFull =
        bytes + size > REQUEST_BYTES || (records && records.atMost + size > limits.of(topic));
      if (bytes > 0 && isFull) {
        yield topics;
        [topics, bytes, records] = [new Map<string, PackedRecords>(), 0, undefined];
      }
      if (!records) topics.set(topic, (records = new PackedRecords()));
      records.add(pack, index);
      bytes += size;
    }
  if (bytes > 0) yield topics;
}

/** Of the first few. */
function namesOf(names: readonly string[]): string {
  const shown = names.slice(0, NAMES).join(', ');
  return names.length > NAMES ? `${shown} and ${names.length - NAMES} more topics` : shown;
}
