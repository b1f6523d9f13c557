// What an application has put into its outbox tables, as events of their own topics, in commit order. A
// row that cannot be an event goes whole, with the reason, to the topic of dead letters: it holds nobody up
// and is not lost.
import type { KafkaClient, KafkaRecord } from '../../core/kafka/client.ts';
import type { Logger } from '../../core/log.ts';
import { createOutboxRouter, type OutboxRouter } from '../domain/debezium/outbox.ts';
import { positionStart } from '../domain/debezium/position.ts';
import type { SourceTables } from '../domain/debezium/source.ts';
import type { Change, Piece } from '../domain/change.ts';
import { letterOf, lettersTopic } from './outbox-letters.ts';
import { bytesOf, OutboxTopics } from './outbox-topics.ts';
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
  readonly #topics: OutboxTopics;
  readonly #log: Logger;
  readonly #timeline: number;

  constructor(
    source: RelaySource,
    tables: SourceTables,
    kafka: Pick<KafkaClient, 'admin' | 'producer'>,
    log: Logger,
    timeline: number,
  ) {
    this.#source = source;
    this.#router = createOutboxRouter({ outboxes: source.outboxes, tables });
    this.#topics = new OutboxTopics(source, kafka);
    this.#log = log;
    this.#timeline = timeline;
  }

  /**
   * Throws FLOW_STOPPED where the settings do not fit the table, KAFKA_UNREACHABLE, and KAFKA_REFUSED
   * where there can be no topic of dead letters.
   */
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
    await this.#topics.prepare(events.map(({ record }) => record));
    const records: KafkaRecord[] = [];
    for (const event of events) {
      const record = letters.has(event) ? event.record : await this.#placed(event, letters);
      if (record) records.push(record);
    }
    await this.#topics.prepare(records);
    return { records, letters: letters.size };
  }

  /** The event, or the letter that takes its place; undefined when it is with the brokers already. */
  async #placed(event: Event, letters: Set<Event>): Promise<KafkaRecord | undefined> {
    const { record } = event;
    const refusal = (): string | undefined => this.#topics.refusal(record);
    if (refusal() === undefined && (await this.#topics.sendFirst(record))) return undefined;
    const why = refusal();
    return why === undefined ? record : this.#letter(event, why, letters).record;
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
}

/** Why no broker would take a record, whoever sends it. */
function unsendable(record: KafkaRecord, limit: number): string | undefined {
  const { topic } = record;
  if (!/^[A-Za-z0-9._-]{1,249}$/.test(topic) || topic === '.' || topic === '..')
    return `'${topic}' is no name of a topic`;
  const bytes = bytesOf(record);
  return bytes > limit ? `it has ${bytes} bytes, and a topic takes ${limit}` : undefined;
}
