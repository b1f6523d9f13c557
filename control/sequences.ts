// The new owner hands out keys from here on: its sequences go past everything either side has used,
// plus a gap, never backwards, and in the same steps: two sequences that never meet go on like that.
import { readSchema, type LiveSchema, type Sequence } from '../core/postgres/catalog.ts';
import {
  formatTable,
  parseTableName,
  quoteIdentifier,
  quoteTable,
} from '../core/postgres/identifiers.ts';
import type { TableMap } from './definition.ts';
import { mappedTable, type Place } from './domain/mapped-table.ts';
import { scalar, type Participant } from './participant.ts';

const GAP = 100n;

export interface SequenceStep {
  readonly sequence: string;
  readonly from: string;
  readonly to: string;
}

interface NumberedColumn {
  readonly table: string;
  readonly column: string;
  /** To look for its outermost value takes a scan of the table. */
  readonly takesScan: boolean;
}

/** A sequence of the new owner, with all that its next value must lie beyond. */
export interface SequencePlan {
  readonly sequence: string;
  readonly increment: bigint;
  /** Columns whose values it must lie beyond. */
  readonly own: NumberedColumn;
  readonly other: NumberedColumn;
  readonly otherSequence: string | null;
  /** Values of theirs that have been found already. */
  readonly found: readonly bigint[];
}

/** A side, as far as it is looked at. */
export type Asked = Pick<Participant, 'side' | 'client' | 'tables' | 'tableNames'>;

/** Finds the sequences behind the key columns, and behind others that move as they are: numbers of invoices. */
export async function findSequences(
  tables: readonly TableMap[],
  next: Asked,
  previous: Asked,
): Promise<SequencePlan[]> {
  const [there, before] = [await schemaOf(next), await schemaOf(previous)];
  const plans: SequencePlan[] = [];
  for (const map of tables.map(mappedTable)) {
    // The drivers hand out the keys.
    const keys = map.key.filter(({ monolith, service }) => monolith.table + service.table === 0);
    const moved = map.links.flatMap(({ klass, lens, monolith: [left], service: [right] }) =>
      klass === 'moves' && lens.lens === 'rename' && left && right
        ? [{ monolith: left, service: right }]
        : [],
    );
    for (const [link, isKey] of [
      ...keys.map((one) => [one, true] as const),
      ...moved.map((one) => [one, false] as const),
    ]) {
      const own = columnAt(map[next.side], link[next.side]);
      const sequence = sequenceOf(there, own);
      if (!sequence) continue;
      const other = columnAt(map[previous.side], link[previous.side]);
      plans.push({
        ...{ sequence: sequence.name, increment: sequence.increment, found: [] },
        otherSequence: sequenceOf(before, other)?.name ?? null,
        own: { ...own, takesScan: !isKey && !(await isIndexed(next, own)) },
        other: { ...other, takesScan: !isKey && !(await isIndexed(previous, other)) },
      });
    }
  }
  return plans;
}

/**
 * Looks for what takes a scan: ahead, so that no write is held meanwhile. What comes after it without any sequence
 * is left to the gap.
 */
export async function scanned(
  plans: readonly SequencePlan[],
  next: Asked,
  previous: Asked,
): Promise<SequencePlan[]> {
  const all: SequencePlan[] = [];
  for (const plan of plans)
    all.push({ ...plan, found: await outermostOf(plan, next, previous, true) });
  return all;
}

/** Raises the sequences of `next`. Guarded by its epoch. */
export async function raiseSequences(
  plans: readonly SequencePlan[],
  next: Participant,
  previous: Asked,
  epoch: number,
): Promise<SequenceStep[]> {
  return next.guarded(epoch, async () => {
    const steps: SequenceStep[] = [];
    for (const plan of plans) {
      const { sequence, increment, otherSequence, found } = plan;
      // One after the other: both may be the same side, and a session answers one question at a time.
      const before = await lastValue(next, sequence);
      const down = increment < 0n;
      const most = await outermostOf(plan, next, previous, false);
      const otherLast = otherSequence === null ? 0n : await lastValue(previous, otherSequence);
      const beyond = (a: bigint, b: bigint): bigint => (a > b === down ? b : a);
      const least = [before, ...found, ...most, otherLast].reduce(beyond) + (down ? -GAP : GAP);
      // Where it counts in steps, it goes on with its own.
      const over = (least - before) % increment;
      const to = over === 0n ? least : least + increment - over;
      await next.client.query('SELECT setval($1::regclass, $2)', [sequence, to.toString()]);
      steps.push({ sequence, from: before.toString(), to: to.toString() });
    }
    return steps;
  });
}

function columnAt(tables: readonly string[], place: Place): Omit<NumberedColumn, 'takesScan'> {
  return { table: tables[place.table] ?? '', column: place.column };
}

function schemaOf({ client, tableNames }: Asked): Promise<LiveSchema> {
  return readSchema(client, tableNames.map(parseTableName));
}

function sequenceOf(
  schema: LiveSchema,
  { table, column }: Omit<NumberedColumn, 'takesScan'>,
): Sequence | null {
  return schema.get(formatTable(parseTableName(table)))?.columns.get(column)?.sequence ?? null;
}

async function lastValue(side: Asked, sequence: string): Promise<bigint> {
  return BigInt(await scalar(side.client, `SELECT last_value FROM ${sequence}`));
}

/** Whether its outermost value is had without reading the table. */
async function isIndexed(
  side: Asked,
  { table, column }: Omit<NumberedColumn, 'takesScan'>,
): Promise<boolean> {
  const { rows } = await side.client.query(
    `SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
       JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam AND m.amname = 'btree'
      WHERE i.indrelid = to_regclass($1) AND a.attname = $2 AND i.indisvalid AND i.indpred IS NULL`,
    [quoteTable(parseTableName(table)), column],
  );
  return rows.length > 0;
}

/** Those that take a scan, or the others. */
async function outermostOf(
  { own, other, increment }: SequencePlan,
  next: Asked,
  previous: Asked,
  byScan: boolean,
): Promise<bigint[]> {
  const values: bigint[] = [];
  for (const [side, column] of [
    [next, own],
    // When the service's writes are given up, both are the same.
    ...(next === previous ? [] : [[previous, other] as const]),
  ] as const)
    if (column.takesScan === byScan) values.push(await outermost(side, column, increment < 0n));
  return values;
}

/** 0 where keys are no numbers there: all its rows have come to the other side by now. */
async function outermost(side: Asked, key: NumberedColumn, down: boolean): Promise<bigint> {
  const column = quoteIdentifier(key.column);
  const table = quoteTable(parseTableName(key.table));
  // A domain has the category of what it is made of.
  const category = await scalar(
    side.client,
    'SELECT t.typcategory FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid WHERE a.attrelid = $1::regclass AND a.attname = $2',
    [table, key.column],
  );
  if (category !== 'N') return 0n;
  const most = `SELECT coalesce(trunc(${down ? 'min' : 'max'}(${column})::text::numeric), 0)::text FROM ${table}`;
  return BigInt(await scalar(side.client, most));
}
