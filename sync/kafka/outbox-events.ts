// What an application has put into its outbox tables, as events of their own topics, in commit order.
// Topics are made when their first event comes, for only the rows know their names.
import { BanyanError, isBanyanError } from '../../core/errors.ts';
import type { Admin, KafkaClient, KafkaRecord, NewTopic } from '../../core/kafka/client.ts';
import { ensureTopics } from '../../core/kafka/topics.ts';
import type { Logger } from '../../core/log.ts';
import { newTopic } from '../../control/kafka-topics.ts';
import { createOutboxRouter, UNFIT_HINT, type OutboxRouter } from '../domain/debezium/outbox.ts';
import { HEADERS, positionStart } from '../domain/debezium/position.ts';
import type { SourceTables } from '../domain/debezium/source.ts';
import type { Piece } from '../domain/change.ts';
import type { RelaySource } from './relay-sources.ts';

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

  /** Throws FLOW_STOPPED where a row cannot be an event, KAFKA_… where its topic cannot be made. */
  async of({ head, changes, firstSeq }: Piece): Promise<readonly KafkaRecord[]> {
    if (this.#source.outboxes.length === 0) return [];
    const start = positionStart(this.#timeline, head.commitLsn);
    const events = changes.flatMap((change, index): KafkaRecord[] => {
      const routed = this.#router.route(change, `${start}${firstSeq + index}`);
      if (routed?.warning !== undefined)
        this.#log.warn(routed.warning, { source: this.#source.name });
      return (routed?.records ?? []).map((record) =>
        // The same event comes to the same partition at every run.
        record.key === null ? { partition: 0, ...record } : record,
      );
    });
    await this.#makeRoom(
      events.filter(({ topic, partition = 0 }) => partition >= (this.#known.get(topic) ?? 0)),
    );
    return events;
  }

  /** Makes topics that are missing. One that is there already is the team's own, as it is. */
  async #makeRoom(events: readonly KafkaRecord[]): Promise<void> {
    if (events.length === 0) return;
    const { settings } = this.#source;
    const firsts = new Map(events.toReversed().map((event) => [event.topic, event]));
    const admin = await this.#kafka.admin();
    try {
      const present = await admin.topics([...firsts.keys()]);
      for (const [topic, event] of firsts) {
        const found = present.get(topic);
        if (!found) await make(admin, newTopic(settings, topic, settings.topics.partitions), event);
        this.#known.set(topic, found?.partitions ?? settings.topics.partitions);
      }
    } finally {
      await admin.close();
    }
    for (const event of events) {
      const partitions = this.#known.get(event.topic) ?? 0;
      if ((event.partition ?? 0) >= partitions)
        throw new BanyanError(
          'FLOW_STOPPED',
          `${named(event)} is for partition ${event.partition ?? 0} of topic ${event.topic}, which has ${partitions} of them`,
          { hint: `Give the topic more partitions, and it goes on by itself. Or: ${UNFIT_HINT}` },
        );
    }
  }
}

async function make(admin: Admin, topic: NewTopic, event: KafkaRecord): Promise<void> {
  try {
    await ensureTopics(admin, [topic]);
  } catch (error) {
    if (!isBanyanError(error) || error.retryable) throw error;
    throw new BanyanError(
      error.code,
      `${named(event)} goes to topic ${topic.topic}, which cannot be made: ${error.message}`,
      { hint: `${error.hint ?? ''} ${UNFIT_HINT}`.trim(), cause: error },
    );
  }
}

function named({ headers }: KafkaRecord): string {
  return `the event of outbox row ${headers['id'] ?? ''}, at position ${headers[HEADERS.position] ?? ''},`;
}
