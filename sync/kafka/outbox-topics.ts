// The topics of events: made when their first event comes, for only the rows know their names, and tried
// by that one alone. A topic that the brokers will not have, or will not take it, so stops nobody: what
// was to go there are dead letters, and now and then it is tried again. The topic of dead letters itself
// must be there, and take them: without it the relay does not go on, and nothing of the row is confirmed.
import { BanyanError, isBanyanError } from '../../core/errors.ts';
import { REQUEST_BYTES } from '../../core/kafka/batch-limits.ts';
import type { Admin, KafkaClient, KafkaRecord, TopicFacts } from '../../core/kafka/client.ts';
import { ensureTopics } from '../../core/kafka/topics.ts';
import { newTopic } from '../../control/kafka-topics.ts';
import { lettersTopic } from './outbox-letters.ts';
import { bytesOf } from './record-size.ts';
import type { RelaySource } from './relay-sources.ts';

interface Known {
  /** As many as there were when it was looked at last. */
  readonly partitions: number;
  /** Bytes of a record that it takes. */
  readonly limit: number;
  /** Whether the brokers have said so: a login without DESCRIBE_CONFIGS does not learn it. */
  readonly isSure: boolean;
}

const CLOSED_MS = 30_000;
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

  /** Bytes of a dead letter, once its topic is there. Throws KAFKA_REFUSED where there can be none. */
  async letterBytes(): Promise<number> {
    const topic = lettersTopic(this.#source.prefix);
    await this.prepare([{ topic, key: null, value: null, headers: {} }]);
    const { limit, isSure } = this.#known.get(topic) ?? { limit: 0, isSure: true };
    return isSure ? limit : Math.min(limit, REQUEST_BYTES);
  }

  /**
   * Sends the first letter, ahead of all that goes with it: where it is refused, nothing of that has been
   * written. Gives whether it is there by that. Throws KAFKA_REFUSED, KAFKA_UNREACHABLE.
   */
  async sendFirstLetter(record: KafkaRecord): Promise<boolean> {
    if (this.#tried.has(record.topic)) return false;
    await this.#sendAlone(record).catch((error: unknown) => {
      throw noLetters(record.topic, error, 'written');
    });
    this.#tried.add(record.topic);
    return true;
  }

  /**
   * Sends the first record of a topic, by a producer that may fail; gives whether it is there by that.
   * Where the brokers refuse it, `refusal` says so from then on. Throws KAFKA_UNREACHABLE.
   */
  async sendFirst(record: KafkaRecord): Promise<boolean> {
    const { topic } = record;
    if (this.#tried.has(topic)) return false;
    try {
      await this.#sendAlone(record);
    } catch (error) {
      this.#close(topic, error);
      return false;
    }
    this.#tried.add(topic);
    return true;
  }

  /** Whether only the brokers know if the record is too large: more than topics take as a rule, and no limit was to be read. */
  isDoubtful(record: KafkaRecord): boolean {
    return this.#known.get(record.topic)?.isSure === false && bytesOf(record) > REQUEST_BYTES;
  }

  /**
   * Sends such a record by itself, behind those of its topic that come before it; gives why the brokers do not
   * take it. Other records of the topic are not concerned. Throws KAFKA_UNREACHABLE, and KAFKA_REFUSED for what
   * comes before it.
   */
  async sendDoubtful(
    before: readonly KafkaRecord[],
    record: KafkaRecord,
  ): Promise<string | undefined> {
    if (before.length > 0) await this.#sendAlone(...before);
    try {
      await this.#sendAlone(record);
    } catch (error) {
      return refusalOf(record.topic, error);
    }
    this.#tried.add(record.topic);
    return undefined;
  }

  async #sendAlone(...records: readonly KafkaRecord[]): Promise<void> {
    const producer = await this.#kafka.producer();
    try {
      await producer.send(records);
    } finally {
      await producer.close();
    }
  }

  async #look(admin: Admin, topic: string, found: TopicFacts | undefined): Promise<void> {
    const { settings, prefix } = this.#source;
    const { partitions, maxMessageBytes } = settings.topics;
    const isLetters = topic === lettersTopic(prefix);
    const wanted = isLetters ? 1 : partitions;
    try {
      if (!found) await ensureTopics(admin, [newTopic(settings, topic, wanted)]);
    } catch (error) {
      if (isLetters) throw noLetters(topic, error, 'made');
      this.#close(topic, error);
      return;
    }
    const own = Number(found?.config['max.message.bytes'] ?? Number.NaN);
    const limit = own < maxMessageBytes ? own : maxMessageBytes;
    const isSure = !found || !Number.isNaN(own);
    this.#known.set(topic, { partitions: found?.partitions ?? wanted, limit, isSure });
  }

  #close(topic: string, error: unknown): void {
    const why = refusalOf(topic, error);
    this.#closed.set(topic, { why, untilMs: performance.now() + CLOSED_MS });
  }
}

/** Only what waiting does not mend: brokers that do not answer are no reason to leave an event out. */
function refusalOf(topic: string, error: unknown): string {
  if (!isBanyanError(error) || error.retryable) throw error;
  return `topic ${topic} cannot be had: ${error.message}`;
}

function noLetters(topic: string, error: unknown, what: 'made' | 'written'): unknown {
  if (!isBanyanError(error) || error.retryable) return error;
  const remedy =
    what === 'made' ? 'Let the relay make topics, or make this one.' : 'Let the relay write to it.';
  return new BanyanError(
    error.code,
    `topic ${topic}, for rows of an outbox that cannot be events, cannot be ${what}: ${error.message}`,
    {
      hint: `${error.hint ?? ''} ${remedy} Until then the relay stands before that row; nothing is lost, and it goes on by itself.`.trim(),
      cause: error,
    },
  );
}
