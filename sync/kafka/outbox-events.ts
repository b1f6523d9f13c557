// What an application has put into its outbox tables, as events of their own topics, in commit order.
// Topics are made when their first event comes, for only the rows know their names. A row that cannot be
// an event goes whole, with the reason, to the topic of dead letters: it holds nobody up and is not lost.
import { BanyanError, isBanyanError } from '../../core/errors.ts';
import type { Admin, KafkaClient, KafkaRecord, NewTopic } from '../../core/kafka/client.ts';
import { ensureTopics } from '../../core/kafka/topics.ts';
import type { Logger } from '../../core/log.ts';
import { newTopic } from '../../control/kafka-topics.ts';
import { createOutboxRouter, type OutboxRouter } from '../domain/debezium/outbox.ts';
import { HEADERS, positionStart } from '../domain/debezium/position.ts';
import type { SourceTables } from '../domain/debezium/source.ts';
import type { Change, Piece } from '../domain/change.ts';
import { letterOf, lettersTopic } from './outbox-letters.ts';
import type { RelaySource } from './relay-sources.ts';

interface Event {
  readonly record: KafkaRecord;
  /** Of the row. */
  readonly change: Change;
  readonly position: string;
}

export interface Posted {
  /** In the order of the rows, dead letters in the places of their events. */
  readonly records: readonly KafkaRecord[];
  readonly letters: number;
}

const NONE: Posted = { records: [], letters: 0 };

export class OutboxEvents {
  readonly #source: RelaySource;
  readonly #router: OutboxRouter;
  readonly #kafka: Pick<KafkaClient, 'admin'>;
  readonly #log: Logger;
  readonly #timeline: number;
  /** How many partitions a topic had when it was looked at last. */
  readonly #known = new Map<string, number>();

  constructor(
    source: RelaySource,
    tables: SourceTables,
    kafka: Pick<KafkaClient, 'admin'>,
    log: Logger,
    timeline: number,
  ) {
    this.#source = source;
    this.#router = createOutboxRouter({ outboxes: source.outboxes, tables });
    this.#kafka = kafka;
    this.#log = log;
    this.#timeline = timeline;
  }

  /** Throws FLOW_STOPPED where the settings do not fit the table, KAFKA_… where a topic cannot be made. */
  async of({ head, changes, firstSeq }: Piece): Promise<Posted> {
    if (this.#source.outboxes.length === 0) return NONE;
    const start = positionStart(this.#timeline, head.commitLsn);
    const events: Event[] = [];
    const letters = new Set<Event>();
    for (const [index, change] of changes.entries()) {
      const position = `${start}${firstSeq + index}`;
      const routed = this.#router.route(change, position);
      if (routed?.warning !== undefined)
        this.#log.warn(routed.warning, { source: this.#source.name });
      for (const record of routed?.records ?? []) {
        // The same event comes to the same partition at every run.
        const placed = record.key === null ? { partition: 0, ...record } : record;
        const event = { record: placed, change, position };
        const why = unsendable(placed, this.#source.settings.topics.maxMessageBytes);
        if (why === undefined) events.push(event);
        else events.push(this.#letter(event, why, letters));
      }
      if (routed?.unfit === undefined) continue;
      const record = { topic: '', key: null, value: null, headers: {} };
      events.push(this.#letter({ record, change, position }, routed.unfit, letters));
    }
    if (events.length === 0) return NONE;
    await this.#makeTopics(events.map(({ record }) => record));
    const records = events.map((event) => {
      const { topic, partition = 0 } = event.record;
      const partitions = this.#known.get(topic) ?? 0;
      if (partition < partitions) return event.record;
      const why = `it is for partition ${partition} of topic ${topic}, which has ${partitions} of them`;
      return this.#letter(event, why, letters).record;
    });
    await this.#makeTopics(records);
    return { records, letters: letters.size };
  }

  #letter(event: Event, why: string, letters: Set<Event>): Event {
    const { name, prefix, settings } = this.#source;
    const { change, position } = event;
    const limit = settings.topics.maxMessageBytes;
    const record = letterOf({ topic: lettersTopic(prefix), change, position, why, limit });
    this.#log.error('a row of an outbox cannot be an event: it is a dead letter', {
      ...{ source: name, position, why, topic: record.topic },
      row: record.key,
    });
    const letter = { ...event, record };
    letters.add(letter);
    return letter;
  }

  /** Makes topics that are missing. One that is there already is the team's own, as it is. */
  async #makeTopics(records: readonly KafkaRecord[]): Promise<void> {
    const missing = records.filter(
      ({ topic, partition = 0 }) => partition >= (this.#known.get(topic) ?? 0),
    );
    if (missing.length === 0) return;
    const { settings, prefix } = this.#source;
    const firsts = new Map(missing.toReversed().map((record) => [record.topic, record]));
    const admin = await this.#kafka.admin();
    try {
      const present = await admin.topics([...firsts.keys()]);
      for (const [topic, record] of firsts) {
        const found = present.get(topic);
        const wanted = topic === lettersTopic(prefix) ? 1 : settings.topics.partitions;
        if (!found) await make(admin, newTopic(settings, topic, wanted), record);
        this.#known.set(topic, found?.partitions ?? wanted);
      }
    } finally {
      await admin.close();
    }
  }
}

/** Why no broker would take a record, whoever sends it. */
function unsendable({ topic, key, value }: KafkaRecord, limit: number): string | undefined {
  if (!/^[A-Za-z0-9._-]{1,249}$/.test(topic) || topic === '.' || topic === '..')
    return `'${topic}' is no name of a topic`;
  const bytes = Buffer.byteLength(value ?? '') + Buffer.byteLength(key ?? '');
  return bytes > limit ? `it has ${bytes} bytes, and a topic takes ${limit}` : undefined;
}

async function make(admin: Admin, topic: NewTopic, { headers }: KafkaRecord): Promise<void> {
  try {
    await ensureTopics(admin, [topic]);
  } catch (error) {
    if (!isBanyanError(error) || error.retryable) throw error;
    throw new BanyanError(
      error.code,
      `the event of outbox row ${headers['id'] ?? ''}, at position ${headers[HEADERS.position] ?? ''}, goes to topic ${topic.topic}, which cannot be made: ${error.message}`,
      {
        hint: `${error.hint ?? ''} All after this row waits for it: let the relay make topics, or make this one.`.trim(),
        cause: error,
      },
    );
  }
}
