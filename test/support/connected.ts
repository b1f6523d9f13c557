// A pair whose monolith a real Debezium connector reads already, into a real Kafka.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { withClient } from '../../core/postgres/connect.ts';
import type { MigrationInput } from '../../control/definition.ts';
import { kafkaClient } from '../../core/kafka/connect.ts';
import { startDebezium, type Debezium, type DebeziumOptions } from './debezium.ts';
import { silent } from './kafka-records.ts';
import type { SharedKafka } from './kafka.ts';
import { createPair, SESSION, type Pair, type PairOptions } from './pair.ts';
import { serverUrl } from './postgres.ts';

type Source = NonNullable<MigrationInput['capabilities'][string]['source']>['debezium'];

export interface ConnectedOptions extends Omit<PairOptions, 'changeLog'> {
  readonly source?: Partial<Source>;
  /** Of each topic of a table. */
  readonly partitions?: number;
}

export interface ConnectedPair extends Pair {
  readonly source: Source;
  /** Those of the tables; the broker makes none by itself. */
  makeTopics(): Promise<void>;
  /** Starts the connector on the monolith; again, from where it was, after a stop or a kill. */
  connect(options?: Partial<DebeziumOptions>): Promise<Debezium>;
  /** Has the connector forget where it was. */
  forget(): void;
}

/** Its topics, slot and publication have names of their own; writers wait until a connector has brought everything. */
export async function connectedPair(
  kafka: SharedKafka,
  { source: more, partitions = 1, ...options }: ConnectedOptions = {},
): Promise<ConnectedPair> {
  const tag = `d${randomBytes(4).toString('hex')}`;
  const source = { prefix: tag, slot: tag, publication: tag, ...more };
  const brokers = [...kafka.connection.brokers];
  const make = async (topics: readonly string[], count: number): Promise<void> => {
    const admin = await kafkaClient(kafka.connection, silent).admin();
    await admin.create(topics.map((topic) => ({ topic, partitions: count, config: {} })));
    await admin.close();
  };
  await make([`${tag}.message`, `__debezium-heartbeat.${tag}`], 1);
  const pair = await createPair({
    facade: { hold: { timeoutMs: 30_000 } },
    ...options,
    capability: { ...options.capability, source: { debezium: source } },
    changeLog: { kafka: { brokers, prefix: `${tag}.own` } },
  });
  const folder = mkdtempSync(path.join(tmpdir(), 'banyan-connector-'));
  const offsets = path.join(folder, 'offsets');
  const { rows } = await pair.monolith.query<{ name: string }>('SELECT current_database() AS name');
  const url = serverUrl(rows[0]?.name, options.servers?.monolith);
  return {
    ...pair,
    source,
    makeTopics: () => make([`${tag}.public.cat`, `${tag}.public.prd`], partitions),
    connect: (given = {}) =>
      startDebezium({
        ...{ url, prefix: tag, nulls: 'keep' },
        kafka: brokers[0] ?? '',
        ...given,
        properties: {
          'slot.name': tag,
          'publication.name': tag,
          'publication.autocreate.mode': 'filtered',
          'table.include.list': 'public.cat,public.prd',
          'offset.storage.file.filename': offsets,
          'offset.flush.interval.ms': '200',
          'heartbeat.interval.ms': '500',
          ...given.properties,
        },
      }),
    forget: () => {
      rmSync(offsets, { force: true });
    },
    close: async () => {
      rmSync(folder, { recursive: true, force: true });
      await withClient(url, SESSION, (client) =>
        client.query(
          'SELECT pg_terminate_backend(active_pid), pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND NOT active',
          [tag],
        ),
      );
      await pair.close();
    },
  };
}
