// What a relay writes for a piece of the log: Debezium's records (domain/debezium), each in its place. A
// record must come to the same partition at every run, or a duplicate could not be told from its
// position: keys decide, and what has no key stands in partition 0. Our own messages, and what empties
// a table, stand in every partition that they speak of, between what came before and what came after.
import type pg from 'pg';
import type { KafkaClient, KafkaRecord } from '../../core/kafka/client.ts';
import { keyHash } from '../../core/kafka/murmur.ts';
import { ensureTopics } from '../../core/kafka/topics.ts';
import type { Logger } from '../../core/log.ts';
import { formatTable } from '../../core/postgres/identifiers.ts';
import type { Lsn } from '../../core/postgres/lsn.ts';
import { recordForm } from '../../control/kafka-settings.ts';
import { newTopic, tableTopic } from '../../control/kafka-topics.ts';
import type { ChainEnd, Footing } from '../domain/debezium/chain.ts';
import { capabilityOf, Concerns } from '../domain/debezium/concern.ts';
import { createEncoder, type Encoder } from '../domain/debezium/encoder.ts';
import type { OutRecord } from '../domain/debezium/out-record.ts';
import { HEADERS, parsePosition } from '../domain/debezium/position.ts';
import type { SourceTable, SourceTables } from '../domain/debezium/source.ts';
import type { Change, Piece, Relation } from '../domain/change.ts';
import { topicName } from '../domain/debezium/topics.ts';
import { databaseOf } from '../schemas.ts';
import { OutboxEvents } from './outbox-events.ts';
import { assertOutboxes } from './outbox-published.ts';
import type { RelaySource } from './relay-sources.ts';
import type { RelayOptions } from './relay.ts';
import type { IsWritten, Script } from './relay-work.ts';
import { describeRelations } from './source-tables.ts';
import { readTopicEnd } from './topic-end.ts';

/** The two parts of a relay's work that know Debezium. */
export function scribe(
  source: RelaySource,
  kafka: KafkaClient,
  log: Logger,
): Pick<RelayOptions, 'prepare' | 'end' | 'script'> {
  const { prefix, settings } = source;
  return {
    prepare: async () => {
      const admin = await kafka.admin();
      try {
        await ensureTopics(admin, source.topics);
      } finally {
        await admin.close();
      }
    },
    end: (isSettled, signal) =>
      readTopicEnd(
        {
          kafka,
          topics:
            settings.layout === 'changes'
              ? [topicName(`${prefix}.changes`)]
              : [topicName(`${prefix}.transaction`), topicName(`__debezium-heartbeat.${prefix}`)],
          groupId: `${prefix}.relay`,
        },
        isSettled,
        signal,
      ),
    script: async (client, timeline, footing) => {
      await assertOutboxes(client, source);
      return new DebeziumScript({
        source,
        kafka,
        log,
        client,
        timeline,
        footing,
        database: await databaseOf(client),
      });
    },
  };
}

interface Surroundings {
  readonly source: RelaySource;
  readonly kafka: Pick<KafkaClient, 'admin' | 'producer'>;
  readonly log: Logger;
  readonly client: pg.Client;
  readonly timeline: number;
  readonly footing: Footing;
  readonly database: string;
}

class DebeziumScript implements Script {
  readonly #source: RelaySource;
  readonly #client: pg.Client;
  #letters = 0;
  readonly #kafka: Pick<KafkaClient, 'admin'>;
  readonly #encoder: Encoder;
  readonly #events: OutboxEvents;
  /** By the description that the log gave of the table at that time. */
  readonly #tables = new WeakMap<object, SourceTable>();
  /** Those that have a name which the definition does not know. */
  readonly #strange = new Set<Relation>();
  readonly #partitions: Map<string, number>;
  /** Topics that outbox tables would have: their rows are events, and nothing else. */
  readonly #outboxes: ReadonlySet<string>;

  constructor({ source, kafka, log, client, timeline, footing, database }: Surroundings) {
    const { prefix, settings, outboxes } = source;
    const tables: SourceTables = (relation) => this.#tables.get(relation);
    this.#source = source;
    this.#kafka = kafka;
    this.#client = client;
    this.#outboxes = new Set(outboxes.map(({ table }) => tableTopic(prefix, table)));
    this.#partitions = new Map(source.topics.map(({ topic, partitions }) => [topic, partitions]));
    const { layout } = settings;
    const mapped = new Set([...source.tablesOf.values()].flat());
    const names = outboxes.map(({ table }) => table);
    this.#encoder = createEncoder({
      prefix,
      database,
      timeline,
      layout,
      tables,
      footing,
      ...(layout === 'changes' && {
        concerns: new Concerns(source.tablesOf, names),
        // An event that is too large is a dead letter: its row must not hold up the one topic of all.
        unread: new Set(names.filter((name) => !mapped.has(name))),
      }),
      outboxes: new Set(names),
      ...recordForm(settings),
    });
    this.#events = new OutboxEvents(source, tables, kafka, log, timeline);
  }

  async write(piece: Piece, isWritten: IsWritten): Promise<readonly KafkaRecord[]> {
    const unknown = this.#unknown(piece.changes);
    if (unknown.size > 0) await this.#describe([...unknown]);
    const records = this.#numbered(this.#encoder.encode(piece, Date.now()), piece);
    const own = this.#source.settings.layout === 'changes' ? records : this.#placed(records, piece);
    if (this.#outboxes.size === 0) return own;
    const events = await this.#events.of(piece, isWritten);
    this.#letters += events.letters;
    return events.records.length === 0 ? own : [...own, ...events.records];
  }

  get letters(): number {
    return this.#letters;
  }

  get chain(): ChainEnd | undefined {
    return this.#encoder.end;
  }

  beat(idle: Lsn | undefined): readonly KafkaRecord[] {
    // Among the changes there is room only for what says how far they go.
    if (this.#source.settings.layout === 'changes' && idle === undefined) return [];
    return [{ ...this.#encoder.heartbeat(Date.now(), idle), partition: 0 }];
  }

  /** Tables that have not been described since they were altered. */
  #unknown(changes: readonly Change[]): ReadonlySet<Relation> {
    const unknown = new Set<Relation>();
    let last: Relation | undefined;
    for (const change of changes) {
      if (change.kind === 'message') continue;
      if (change.kind === 'truncate') {
        for (const one of change.relations) if (!this.#tables.has(one)) unknown.add(one);
      } else if (change.relation !== last) {
        last = change.relation;
        if (!this.#tables.has(last)) unknown.add(last);
      }
    }
    return unknown;
  }

  async #describe(unknown: readonly Relation[]): Promise<void> {
    for (const [relation, table] of await describeRelations(this.#client, unknown))
      this.#tables.set(relation, table);
    const strange = unknown.filter((one) => !this.#source.tables.has(formatTable(one)));
    for (const relation of strange) this.#strange.add(relation);
    if (this.#source.settings.layout === 'table') await this.#makeTopics(strange);
  }

  /** A table that was renamed has a topic of its new name from then on, as with Debezium. */
  async #makeTopics(relations: readonly Relation[]): Promise<void> {
    const { prefix, settings } = this.#source;
    const { partitions } = settings.topics;
    const topics = relations
      .map((relation) => tableTopic(prefix, formatTable(relation)))
      .filter((topic) => !this.#partitions.has(topic));
    if (topics.length === 0) return;
    const admin = await this.#kafka.admin();
    try {
      await ensureTopics(
        admin,
        topics.map((topic) => newTopic(settings, topic, partitions)),
      );
    } finally {
      await admin.close();
    }
    for (const topic of topics) this.#partitions.set(topic, partitions);
  }

  /** Whoever reads tells by the number whether such a table is one of its own. */
  #numbered(records: readonly OutRecord[], piece: Piece): readonly OutRecord[] {
    if (this.#strange.size === 0) return records;
    return records.map((record) => {
      const change = changeOf(record, piece);
      if (!change || change.kind === 'message') return record;
      const relations = change.kind === 'truncate' ? change.relations : [change.relation];
      const strange = relations.filter((one) => this.#strange.has(one)).map(({ oid }) => oid);
      if (strange.length === 0) return record;
      return { ...record, headers: { ...record.headers, [HEADERS.table]: strange.join(',') } };
    });
  }

  #placed(records: readonly OutRecord[], piece: Piece): readonly KafkaRecord[] {
    const placed: KafkaRecord[] = [];
    for (const record of records) {
      const { topic } = record;
      if (this.#outboxes.has(topic)) continue;
      if (topic === '') {
        const change = changeOf(record, piece);
        const capability = change?.kind === 'message' ? capabilityOf(change.content) : undefined;
        placed.push(...this.#copied(record, this.#source.topicsOf.get(capability ?? '') ?? []));
      } else if (record.everywhere) placed.push(...this.#copied(record, [topic]));
      else placed.push({ ...record, partition: this.#partitionOf(record) });
    }
    return placed;
  }

  /** By the number of partitions that the topic had: a key's records stay together where it gets more. */
  #partitionOf({ topic, key, partition }: OutRecord): number {
    const partitions = this.#partitions.get(topic) ?? 1;
    if (partition !== undefined || key === null || partitions === 1) return partition ?? 0;
    return keyHash(Buffer.from(key)) % partitions;
  }

  #copied(record: OutRecord, topics: readonly string[]): KafkaRecord[] {
    return topics.flatMap((topic) =>
      Array.from({ length: this.#partitions.get(topic) ?? 1 }, (_, partition) => ({
        ...record,
        topic,
        partition,
      })),
    );
  }
}

/** By the number at the end of its position. */
function changeOf({ headers }: OutRecord, { changes, firstSeq }: Piece): Change | undefined {
  const position = parsePosition(headers[HEADERS.position]);
  return position && changes[position.seq - firstSeq];
}
