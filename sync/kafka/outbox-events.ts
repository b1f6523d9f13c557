// What an application has put into its outbox tables, as events of their own topics, in commit order.
// Topics are made when their first event comes, for only the rows know their names.
import type { Admin, KafkaClient, KafkaRecord, NewTopic } from '../../core/kafka/client.ts';
import { ensureTopics } from '../../core/kafka/topics.ts';
import type { Logger } from '../../core/log.ts';
import { newTopic } from '../../control/kafka-topics.ts';
import { createOutboxRouter, type OutboxRouter } from '../domain/debezium/outbox.ts';
import { positionStart } from '../domain/debezium/position.ts';
import type { SourceTables } from '../domain/debezium/source.ts';
import type { Piece } from '../domain/change.ts';
import type { RelaySource } from './relay-sources.ts';

export class OutboxEvents {
  readonly #source: RelaySource;
  readonly #router: OutboxRouter;
  readonly #kafka: Pick<KafkaClient, 'admin'>;
  readonly #log: Logger;
  readonly #timeline: number;
  readonly #known = new Set<string>();

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
    await this.#make([...new Set(events.map(({ topic }) => topic))]);
    return events;
  }

  async #make(topics: readonly string[]): Promise<void> {
    const fresh = topics.filter((topic) => !this.#known.has(topic));
    if (fresh.length === 0) return;
    const admin = await this.#kafka.admin();
    try {
      await ensureTopics(admin, await this.#missing(admin, fresh));
    } finally {
      await admin.close();
    }
    for (const topic of fresh) this.#known.add(topic);
  }

  /** A topic that is there already is the team's own, as it is. */
  async #missing(admin: Admin, topics: readonly string[]): Promise<NewTopic[]> {
    const { settings } = this.#source;
    const present = await admin.topics(topics);
    return topics
      .filter((topic) => !present.has(topic))
      .map((topic) => newTopic(settings, topic, settings.topics.partitions));
  }
}
