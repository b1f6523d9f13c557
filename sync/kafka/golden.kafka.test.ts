// The same script through Debezium's own engine and through our reader and encoder: the same records;
// and our decoder makes of either what the source has. Where the two differ, it is said below.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type pg from 'pg';
import { connect } from '../../core/postgres/connect.ts';
import { comparable } from '../../test/support/comparable-records.ts';
import { startDebezium } from '../../test/support/debezium.ts';
import {
  GOLDEN_COLUMNS,
  GOLDEN_END,
  GOLDEN_SCRIPT,
  GOLDEN_TABLES,
} from '../../test/support/golden.ts';
import { createDatabase, type TestDatabase } from '../../test/support/postgres.ts';
import type { Relation, RowChange, Tuple, Value } from '../domain/change.ts';
import { createDecoder, type InRecord } from '../domain/debezium/decoder.ts';
import { createEncoder } from '../domain/debezium/encoder.ts';
import { formOf } from '../domain/debezium/forms.ts';
import { lossOf } from '../domain/debezium/losses.ts';
import {
  DEBEZIUM_DEFAULTS,
  type Modes,
  type SourceTable,
  type SourceTables,
} from '../domain/debezium/source.ts';
import { openSlotLog } from '../slot-log.ts';
import { readSourceTables } from './source-tables.ts';

const PREFIX = 'mono';
const HEARTBEATS = `__debezium-heartbeat.${PREFIX}`;

interface Way {
  readonly schemas: boolean;
  readonly modes: Partial<Modes>;
}

const WAYS: readonly (readonly [string, Way])[] = [
  ["the connector's defaults, with schemas", { schemas: true, modes: {} }],
  [
    'texts for numbers and times, without schemas',
    {
      schemas: false,
      modes: {
        ...{ decimals: 'string', temporals: 'isostring', intervals: 'string' },
        ...{ binary: 'hex', hstore: 'map' },
      },
    },
  ],
  ...(process.env['GOLDEN'] === 'all'
    ? ([
        // Not nanoseconds: the connector itself ends at a timestamp that they cannot count.
        ['microseconds', { schemas: true, modes: { temporals: 'microseconds' } }],
        ['adaptive times', { schemas: true, modes: { temporals: 'adaptive_time_microseconds' } }],
        ['doubles', { schemas: true, modes: { decimals: 'double', temporals: 'connect' } }],
      ] as const)
    : []),
];

interface Golden {
  readonly theirs: readonly InRecord[];
  readonly ours: readonly InRecord[];
  /** Theirs, which come by the clock, and ours. */
  readonly heartbeats: readonly InRecord[];
  readonly tables: SourceTables;
  readonly rows: ReadonlyMap<string, readonly Row[]>;
}

type Row = Readonly<Record<string, Value>>;

describe.each(WAYS)('%s', (_, way) => {
  let database: TestDatabase;
  let client: pg.Client;
  let golden: Golden;

  beforeAll(async () => {
    database = await createDatabase('golden');
    client = await connect(database.url, { applicationName: 'banyan-test' });
    golden = await run(database, client, way);
  }, 180_000);

  afterAll(async () => {
    await client.end();
    await database.drop();
  });

  test('every topic has the same records in the same order', () => {
    const [theirs, ours] = [byTopic(golden.theirs), byTopic(golden.ours)];
    expect([...ours.keys()].sort()).toEqual([...theirs.keys()].sort());
    expect(theirs.size).toBeGreaterThan(10);
    for (const [topic, records] of theirs)
      expect([topic, (ours.get(topic) ?? []).map(comparable)]).toEqual([
        topic,
        records.map(comparable),
      ]);
  });

  test('heartbeats differ in their time alone', () => {
    const [theirs, ours] = golden.heartbeats.map(({ topic, value, ...record }) => ({
      topic,
      ...comparable({
        ...record,
        topic,
        value: value?.replace(/"ts_ms":\d+/, '"ts_ms":0') ?? null,
      }),
    }));
    expect(theirs?.topic).toBe(HEARTBEATS);
    expect(ours).toEqual(theirs);
  });

  test('both are decoded to what the source has', () => {
    const kept = lossless(golden.tables, way);
    let compared = 0;
    for (const [table, rows] of golden.rows) {
      const columns = kept(`shop`, table)?.columns.map(({ name }) => name) ?? [];
      const wanted = rows.map((row) => shown(row, columns)).sort();
      for (const records of [golden.theirs, golden.ours])
        expect([table, replayed(records, kept, way, table, columns).sort()]).toEqual([
          table,
          wanted,
        ]);
      compared += wanted.length * columns.length;
    }
    expect(GOLDEN_COLUMNS.length).toBeGreaterThan(60);
    expect(compared).toBeGreaterThan(500);
  });
});

test.each(WAYS.slice(0, 2))(
  'rows of a snapshot are decoded to what the source has: %s',
  async (_, way) => {
    const database = await createDatabase('golden');
    const client = await connect(database.url, { applicationName: 'banyan-test' });
    try {
      await client.query(GOLDEN_TABLES);
      for (const statements of GOLDEN_SCRIPT)
        if (/^INSERT INTO shop.(kinds|strict) /.test(statements)) await client.query(statements);
      const debezium = await startDebezium({
        ...{ url: database.url, prefix: PREFIX, schemas: way.schemas, nulls: 'keep' },
        properties: {
          ...{ 'slot.name': database.name, 'publication.name': 'golden' },
          ...{ 'publication.autocreate.mode': 'disabled', 'snapshot.mode': 'initial' },
          ...propertiesOf({ ...DEBEZIUM_DEFAULTS, ...way.modes }),
        },
      });
      try {
        await client.query(`INSERT INTO shop.unkeyed VALUES (1, '${GOLDEN_END}')`);
        await debezium.until(({ value }) => value?.includes(GOLDEN_END) === true);
        const kept = lossless(await sourceTables(client), way);
        const rows = await rowsOf(client);
        for (const table of ['kinds', 'strict']) {
          const columns = kept('shop', table)?.columns.map(({ name }) => name) ?? [];
          const records = debezium.records.map(text);
          expect(records.filter(({ value }) => value?.includes('"op":"r"')).length).toBeGreaterThan(
            7,
          );
          expect(replayed(records, kept, way, table, columns).sort()).toEqual(
            (rows.get(table) ?? []).map((row) => shown(asRead(row), columns)).sort(),
          );
        }
      } finally {
        await debezium.stop();
      }
    } finally {
      await client.end();
      await database.drop();
    }
  },
  180_000,
);

async function run(database: TestDatabase, client: pg.Client, way: Way): Promise<Golden> {
  await client.query(GOLDEN_TABLES);
  const slots = [`${database.name}_ours`, `${database.name}_theirs`];
  for (const slot of slots)
    await client.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [slot]);
  const debezium = await startDebezium({
    ...{ url: database.url, prefix: PREFIX, schemas: way.schemas, headers: 'json', nulls: 'keep' },
    properties: {
      ...{ 'slot.name': slots[1] ?? '', 'publication.name': 'golden' },
      'publication.autocreate.mode': 'disabled',
      'provide.transaction.metadata': 'true',
      'skipped.operations': 'none',
      'heartbeat.interval.ms': '200',
      ...propertiesOf({ ...DEBEZIUM_DEFAULTS, ...way.modes }),
    },
  });
  try {
    for (const statements of GOLDEN_SCRIPT) {
      await client.query('BEGIN');
      await client.query(statements);
      await client.query('COMMIT');
    }
    const ours = await encoded(database, client, slots[0] ?? '', way);
    const last = comparable(ours.records.at(-1)).value;
    await debezium.until(
      (record) => JSON.stringify(comparable(text(record)).value) === JSON.stringify(last),
    );
    await debezium.until(({ topic }) => topic === HEARTBEATS);
    const [heartbeats, theirs] = partition(debezium.records.map(text));
    return {
      theirs,
      ours: ours.records,
      heartbeats: [...heartbeats.slice(0, 1), ours.heartbeat],
      tables: ours.tables,
      rows: await rowsOf(client),
    };
  } finally {
    await debezium.stop();
  }
}

function propertiesOf(modes: Modes): Readonly<Record<string, string>> {
  return {
    'decimal.handling.mode': modes.decimals,
    'time.precision.mode': modes.temporals,
    'interval.handling.mode': modes.intervals,
    'binary.handling.mode': modes.binary,
    'hstore.handling.mode': modes.hstore,
  };
}

async function sourceTables(client: pg.Client): Promise<SourceTables> {
  const { rows } = await client.query<{ schema: string; table: string }>(
    `SELECT schemaname AS schema, tablename AS "table" FROM pg_tables WHERE schemaname = 'shop'`,
  );
  const known = new Map((await readSourceTables(client, rows)).map((one) => [one.table, one]));
  return ({ table }) => known.get(table);
}

async function encoded(
  database: TestDatabase,
  client: pg.Client,
  slot: string,
  { schemas, modes }: Way,
): Promise<{ records: InRecord[]; heartbeat: InRecord; tables: SourceTables }> {
  const tables = await sourceTables(client);
  const encoder = createEncoder({
    ...{ prefix: PREFIX, database: database.name, timeline: 1, layout: 'table' },
    ...{ schemas, modes, tables },
  });
  const log = await openSlotLog(
    { url: database.url, slot, publication: 'golden', lsns: true },
    { timeline: 1, commitLsn: 0n, seq: 0 },
  );
  try {
    const records: InRecord[] = [];
    while (!records.some(({ value }) => value?.includes(GOLDEN_END)))
      for (const piece of await log.read(AbortSignal.timeout(30_000)))
        records.push(...encoder.encode(piece, Date.now()));
    return { records, tables, heartbeat: encoder.heartbeat(Date.now()) };
  } finally {
    await log.close();
  }
}

const text = (record: {
  readonly topic: string;
  readonly key: string | null;
  readonly value: string | null;
  readonly headers: Readonly<Record<string, string | null>>;
}): InRecord => ({
  ...record,
  headers: Object.fromEntries(
    Object.entries(record.headers).map(([name, value]) => [name, value ?? '']),
  ),
});

/** Heartbeats, and the rest. */
function partition(records: readonly InRecord[]): [InRecord[], InRecord[]] {
  const isBeat = ({ topic }: InRecord): boolean => topic === HEARTBEATS;
  return [records.filter(isBeat), records.filter((record) => !isBeat(record))];
}

function byTopic(records: readonly InRecord[]): Map<string, InRecord[]> {
  return Map.groupBy(records, ({ topic }) => topic);
}

type Kept = (schema: string, table: string) => SourceTable | undefined;

/** What a flow may read: columns of which nothing is lost. */
function lossless(tables: SourceTables, { modes }: Way): Kept {
  const all = { ...DEBEZIUM_DEFAULTS, ...modes };
  return (schema, table) => {
    const source = tables({ schema, table });
    const columns = source?.columns.filter(
      (column) => !column.generated && !lossOf(column, formOf(column.type, all)),
    );
    return source && columns && { ...source, columns };
  };
}

/**
 * A row without what the connector is known to drop where the value stays the same: zeros at the end
 * of a number without a scale, a currency; and the end of a day, which as ISO is its beginning.
 */
function shown(row: Readonly<Record<string, Value>>, columns: readonly string[]): string {
  return JSON.stringify(
    columns.map((name) => {
      const value = row[name];
      if (!value) return value;
      if (name === 'c_bare') return value.replace(/(\.\d*?)0+$/, '$1');
      if (name === 'c_money') return value.replace(/[$,]/g, '');
      return name === 'c_time' && value === '24:00:00' ? '00:00:00' : value;
    }),
  );
}

/** Of a date before Christ the connector's snapshot has no era; its stream has. */
function asRead(row: Row): Row {
  return { ...row, c_date: row['c_date']?.replace(' BC', '') ?? null };
}

/** The rows of a table after all its changes, as texts. */
function replayed(
  records: readonly InRecord[],
  kept: Kept,
  { modes }: Way,
  table: string,
  columns: readonly string[],
): string[] {
  const tables: SourceTables = (name) => kept(name.schema, name.table);
  const decoder = createDecoder({ tables, modes, layout: 'table', keyChanges: 'update' });
  const rows: Record<string, Value>[] = [];
  for (const record of records) {
    const decoded = decoder.decode(record);
    if (decoded.kind !== 'change') continue;
    const { change } = decoded;
    if (change.kind === 'truncate' && change.relations.some((one) => one.table === table))
      rows.length = 0;
    else if (
      change.kind !== 'truncate' &&
      change.kind !== 'message' &&
      change.relation.table === table
    )
      apply(rows, change);
  }
  return rows.map((row) => shown(row, columns));
}

function apply(rows: Record<string, Value>[], change: RowChange): void {
  const { relation } = change;
  if (change.kind === 'insert') {
    rows.push(named(relation, change.after));
    return;
  }
  const keys = relation.columns.filter(({ key }) => key).map(({ name }) => name);
  const old = named(relation, change.before ?? (change.kind === 'update' ? change.after : []));
  const at = rows.findIndex((row) =>
    keys.every((key) => old[key] === undefined || row[key] === old[key]),
  );
  if (at === -1) throw new Error(`no row of ${relation.table} for ${JSON.stringify(old)}`);
  if (change.kind === 'delete') rows.splice(at, 1);
  else
    for (const [name, value] of Object.entries(named(relation, change.after)))
      if (value !== undefined) (rows[at] ?? {})[name] = value;
}

function named({ columns }: Relation, tuple: Tuple): Record<string, Value> {
  return Object.fromEntries(columns.map(({ name }, index) => [name, tuple[index]]));
}

async function rowsOf(client: pg.Client): Promise<ReadonlyMap<string, readonly Row[]>> {
  const found = new Map<string, readonly Row[]>();
  for (const table of ['kinds', 'kinds_full', 'strict', 'defaults', 'unkeyed', 'odd Name']) {
    const { rows } = await client.query<Row>({
      text: `SELECT * FROM shop."${table}"`,
      types: { getTypeParser: () => (value: string) => value },
    });
    found.set(table, rows);
  }
  return found;
}
