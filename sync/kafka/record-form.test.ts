// What `changeLog.kafka.records` says is how a relay writes, and how a flow reads.
import { expect, test } from '@jest/globals';
import { changeLog, recordForm, type KafkaSettings } from '../../control/kafka-settings.ts';
import type { Piece, Relation } from '../domain/change.ts';
import { createDecoder, type Decoded } from '../domain/debezium/decoder.ts';
import { createEncoder } from '../domain/debezium/encoder.ts';
import type { SourceTable } from '../domain/debezium/source.ts';

const table: SourceTable = {
  ...{ schema: 'shop', table: 'terms', identity: 'default' },
  columns: [
    { name: 'id', type: { name: 'int8', typmod: -1 }, keyPlace: 1, identity: true, notNull: true },
    { name: 'runs', type: { name: 'interval', typmod: -1 }, identity: false, notNull: false },
  ],
};
const relation: Relation = {
  ...{ schema: 'shop', table: 'terms' },
  columns: table.columns.map(({ name, identity }) => ({ name, key: identity })),
};

function settingsWith(records: Partial<NonNullable<KafkaSettings['records']>>): KafkaSettings {
  const parsed = changeLog.parse({
    kafka: { brokers: ['kafka-1:9092'], prefix: 'shop', layout: 'table', records },
  });
  if (parsed === 'direct') throw new Error('no Kafka');
  return parsed.kafka;
}

/** As a relay writes it and a flow reads it, both by the definition. */
function carried(settings: KafkaSettings, runs: string): Decoded | undefined {
  const { modes, schemas } = recordForm(settings);
  const given = { layout: 'table', modes, tables: () => table } as const;
  const of = { prefix: 'shop.monolith', database: 'shop', timeline: 1, schemas };
  const piece: Piece = {
    head: { xid: 731, commitLsn: 100n, commitMs: 1, origin: undefined },
    changes: [{ kind: 'insert', relation, after: ['1', runs] }],
    ...{ size: 1, bytes: 0, firstSeq: 1, endLsn: 110n },
  };
  const [, record] = createEncoder({ ...of, ...given }).encode(piece, 1);
  return record && createDecoder(given).decode(record);
}

const INTERVALS = ['1 year 2 mons -3 days +04:05:06.789', '-00:00:00.5', '40 days', '00:00:00'];

test.each([false, true])("intervals of 'string' keep months and days (schemas: %p)", (schemas) => {
  const settings = settingsWith({ intervals: 'string', schemas });
  for (const runs of INTERVALS)
    expect(carried(settings, runs)).toMatchObject({ change: { after: ['1', runs] } });
});

test("left to the connector's default they are microseconds, which no flow reads", () => {
  expect(() => carried(settingsWith({}), '40 days')).toThrow(
    expect.objectContaining({ code: 'FLOW_STOPPED' }),
  );
});
