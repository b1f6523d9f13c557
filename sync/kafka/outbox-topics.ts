// The topics of events: made when their first event comes, for only the rows know their names, and tried
// by that one alone. A topic that the brokers will not have, or will not take it, so stops nobody: what
// was to go there are dead letters, and now and then it is tried again. The topic of dead letters itself
// must be there.
import { BanyanError, isBanyanError } from '../../core/errors.ts';
import type { Admin, KafkaClient, KafkaRecord, TopicFacts } from '../../core/kafka/client.ts';
import { ensureTopics } from '../../core/kafka/topics.ts';
import { newTopic } from '../../control/kafka-topics.ts';
import { lettersTopic } from './outbox-letters.ts';
import type { RelaySource } from './relay-sources.ts';

interface Known {
  /** As many as there were when it was looked at last. */
  readonly partitions: number;
  /** Bytes of a record that it takes. */
  readonly limit: number;
}

const CLOSED_MS = 30_000;
/** What the brokers count besides, and of each header besides. */
const OVERHEAD_BYTES = 100;
const HEADER_BYTES = 10;

/** About what the brokers count. */
export function bytesOf({ key, value, headers }: KafkaRecord): number {
  let bytes = OVERHEAD_BYTES + Buffer.byteLength(value ?? '') + Buffer.byteLength(key ?? '');
  for (const [name, text] of Object.entries(headers))
    bytes += HEADER_BYTES + Buffer.byteLength(name) + Buffer.byteLength(text);
  return bytes;
}

export class OutboxTopics {
  readonly #source: RelaySource;
  readonly #kafka: Pick<KafkaClient, 'admin' | 'producer'>;
  readonly #known = new Map<string, Known>();
  /** Those that an event has come to. */
  readonly #tried = new Set<string>();
  /** Those that take none: why, and until when that is believed. */
  readonly #closed = new Map<string, { readonly why: string; readonly untilMs: number }>();

  constructor(source: RelaySource, kafka: Pick<KafkaClient, 'admin' | 'producer'>) {
    this.#source = source;
    this.#kafka = kafka;
  }

  /** Makes those that are missing; one that is there already is the team's own, as it is. Throws KAFKA_… */
  async prepare(records: readonly KafkaRecord[]): Promise<void> {
    for (const [topic, { untilMs }] of this.#closed)
      if (untilMs < performance.now()) this.#closed.delete(topic);
    const missing = new Set(
      records
        .filter(
          ({ topic, partition = 0 }) => partition >= (this.#known.get(topic)?.partitions ?? 0),
        )
        .map(({ topic }) => topic)
        .filter((topic) => !this.#closed.has(topic)),
    );
    if (missing.size === 0) return;
    const admin = await this.#kafka.admin();
    try {
      const present = await admin.topics([...missing]);
      for (const topic of missing) await this.#look(admin, topic, present.get(topic));
    } finally {
      await admin.close();
    }
  }

  /** Why a record cannot go to its topic, as far as that is known. */
  refusal(record: KafkaRecord): string | undefined {
    const { topic, partition = 0 } = record;
    const closed = this.#closed.get(topic);
    if (closed) return closed.why;
    const { partitions, limit } = this.#known.get(topic) ?? { partitions: 0, limit: 0 };
    if (partition >= partitions)
      return `it is for partition ${partition} of topic ${topic}, which has ${partitions} of them`;
    const bytes = bytesOf(record);
    return bytes > limit ? `it has ${bytes} bytes, and topic ${topic} takes ${limit}` : undefined;
  }

  /**
   * Sends the first record of a topic, by a producer that may fail; gives whether it is there by that.
   * Where the brokers refuse it, `refusal` says so from then on. Throws KAFKA_UNREACHABLE.
   */
  async sendFirst(record: KafkaRecord): Promise<boolean> {
    const { topic } = record;
    if (this.#tried.has(topic)) return false;
    const producer = await this.#kafka.producer();
    try {
      await producer.send([record]);
    } catch (error) {
      this.#close(topic, error);
      return false;
    } finally {
      await producer.close();
    }
    this.#tried.add(topic);
    return true;
  }

  async #look(admin: Admin, topic: string, found: TopicFacts | undefined): Promise<void> {
    const { settings, prefix } = this.#source;
    const { partitions, maxMessageBytes } = settings.topics;
    const isLetters = topic === lettersTopic(prefix);
    const wanted = isLetters ? 1 : partitions;
    try {
      if (!found) await ensureTopics(admin, [newTopic(settings, topic, wanted)]);
    } catch (error) {
      if (isLetters) throw noLetters(topic, error);
      this.#close(topic, error);
      return;
    }
    const own = Number(found?.config['max.message.bytes'] ?? Number.NaN);
    const limit = own < maxMessageBytes ? own : maxMessageBytes;
    this.#known.set(topic, { partitions: found?.partitions ?? wanted, limit });
  }

  /** Only what waiting does not mend: brokers that do not answer are no reason to leave an event out. */
  #close(topic: string, error: unknown): void {
    if (!isBanyanError(error) || error.retryable) throw error;
    const why = `topic ${topic} cannot be had: ${error.message}`;
    this.#closed.set(topic, { why, untilMs: performance.now() + CLOSED_MS });
  }
}

function noLetters(topic: string, error: unknown): unknown {
  if (!isBanyanError(error) || error.retryable) return error;
  return new BanyanError(
    error.code,
    `topic ${topic}, for rows of an outbox that cannot be events, cannot be made: ${error.message}`,
    {
      hint: `${error.hint ?? ''} Let the relay make topics, or make this one.`.trim(),
      cause: error,
    },
  );
}
