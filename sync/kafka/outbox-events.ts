// What an application has put into its outbox tables, as events of their own topics, in commit order. A
// row that cannot be an event goes whole, with the reason, to the topic of dead letters: it holds nobody up
// and is not lost.
import { BanyanError } from '../../core/errors.ts';
import type { KafkaClient, KafkaRecord } from '../../core/kafka/client.ts';
import type { Logger } from '../../core/log.ts';
import { createOutboxRouter, type OutboxRouter } from '../domain/debezium/outbox.ts';
import { positionStart } from '../domain/debezium/position.ts';
import type { SourceTables } from '../domain/debezium/source.ts';
import type { Change, Piece } from '../domain/change.ts';
import { letterOf, lettersTopic } from './outbox-letters.ts';
import { OutboxTopics } from './outbox-topics.ts';
import { bytesOf } from './record-size.ts';
import type { RelaySource } from './relay-sources.ts';
import type { IsWritten } from './relay-work.ts';

interface Event {
  readonly record: KafkaRecord;
  /** Of the row. */
  readonly change: Change;
  readonly position: string;
  /** Why it cannot be one: a dead letter takes its place. */
  readonly why: string | undefined;
}

export interface Posted {
  /** In the order of the rows, dead letters in the places of their events; what went ahead is left out. */
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
  async of({ head, changes, firstSeq }: Piece, isWritten: IsWritten): Promise<Posted> {
    if (this.#source.outboxes.length === 0) return NONE;
    const events = this.#eventsOf(changes, firstSeq, positionStart(this.#timeline, head.commitLsn));
    if (events.length === 0) return NONE;
    // Letters first: where their topic cannot be had, nothing of the piece is to be written.
    const known = events.find(({ why }) => why !== undefined);
    const ahead = known && (await this.#letter(known));
    const isAhead = ahead !== undefined && (await this.#topics.sendFirstLetter(ahead));
    await this.#topics.prepare(
      events.flatMap(({ record, why }) => (why === undefined ? [record] : [])),
    );
    const isDoubtful = ({ record, why }: Event): boolean =>
      why === undefined && this.#topics.isDoubtful(record);
    // It goes alone: what the topic has still to get comes first.
    if (events.some(isDoubtful) && !(await isWritten())) return NONE;
    const records: KafkaRecord[] = [];
    let letters = 0;
    for (const event of events) {
      const refused = event.why === undefined ? await this.#placed(event, records) : event;
      if (!refused) continue;
      letters += 1;
      const letter = event === known ? ahead : await this.#letter(refused);
      const isThere =
        event === known ? isAhead : letter && (await this.#topics.sendFirstLetter(letter));
      if (letter && !isThere) records.push(letter);
    }
    return { records, letters };
  }

  #eventsOf(changes: readonly Change[], firstSeq: number, start: string): Event[] {
    const events: Event[] = [];
    for (const [index, change] of changes.entries()) {
      const position = `${start}${firstSeq + index}`;
      const routed = this.#router.route(change, position);
      if (routed?.warning !== undefined)
        this.#log.warn(routed.warning, { source: this.#source.name });
      for (const one of routed?.records ?? []) {
        // The same event comes to the same partition at every run.
        const record = one.key === null ? { partition: 0, ...one } : one;
        const why = unsendable(record, this.#source);
        events.push({ record, change, position, why });
      }
      if (routed?.unfit === undefined) continue;
      const record = { topic: '', key: null, value: null, headers: {} };
      events.push({ record, change, position, why: routed.unfit });
    }
    return events;
  }

  /** Adds the event to those that are to be written, where it is not there yet; else why it cannot be one. */
  async #placed(event: Event, records: KafkaRecord[]): Promise<Event | undefined> {
    const { record } = event;
    const refusal = (): string | undefined => this.#topics.refusal(record);
    if (refusal() === undefined && this.#topics.isDoubtful(record)) {
      const refused = await this.#topics.sendDoubtful(takeOut(records, record.topic), record);
      return refused === undefined ? undefined : { ...event, why: refused };
    }
    if (refusal() === undefined && (await this.#topics.sendFirst(record))) return undefined;
    const why = refusal();
    if (why !== undefined) return { ...event, why };
    records.push(record);
    return undefined;
  }

  async #letter({ change, position, why = '' }: Event): Promise<KafkaRecord> {
    const topic = lettersTopic(this.#source.prefix);
    const limit = await this.#topics.letterBytes();
    const letter = letterOf({ topic, change, position, why, limit });
    if (!letter)
      throw new BanyanError(
        'KAFKA_REFUSED',
        `topic ${topic} takes ${limit} bytes, too few for the key of a row that cannot be an event`,
        {
          hint: `Raise its max.message.bytes. Until then the relay stands before that row, at ${position}; nothing is lost, and it goes on by itself.`,
        },
      );
    this.#log.error('a row of an outbox cannot be an event: it is a dead letter', {
      ...{ source: this.#source.name, position, why, topic },
      row: letter.key,
    });
    return letter;
  }
}

/** Takes those of a topic out of a list, in their order. */
function takeOut(records: KafkaRecord[], topic: string): KafkaRecord[] {
  const taken = records.filter((one) => one.topic === topic);
  const left = records.filter((one) => one.topic !== topic);
  records.splice(0, records.length, ...left);
  return taken;
}

/** Why a record can be none, whatever the brokers say of its topic. */
function unsendable(record: KafkaRecord, { reserved, settings }: RelaySource): string | undefined {
  const { topic } = record;
  const limit = settings.topics.maxMessageBytes;
  if (!/^[A-Za-z0-9._-]{1,249}$/.test(topic) || topic === '.' || topic === '..')
    return `'${topic}' is no name of a topic`;
  // Flows would read it as a change.
  if (topic.startsWith('__') || reserved.has(topic))
    return `'${topic}' is a topic with a use of its own`;
  const bytes = bytesOf(record);
  return bytes > limit ? `it has ${bytes} bytes, and a topic takes ${limit}` : undefined;
}
