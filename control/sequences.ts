// The new owner hands out keys from here on: its sequences go past everything either side has used,
// plus a gap, never backwards, and in the same steps: two sequences that never meet go on like that.
import { readSchema, type Sequence } from '../core/postgres/catalog.ts';
import { parseTableName, quoteIdentifier, quoteTable } from '../core/postgres/identifiers.ts';
import type { TableMap } from './definition.ts';
import { mappedTable, type Place } from './domain/mapped-table.ts';
import { scalar, type Participant } from './participant.ts';

const GAP = 100n;

export interface SequenceStep {
  readonly sequence: string;
  readonly from: string;
  readonly to: string;
}

interface KeyColumn {
  readonly table: string;
  readonly column: string;
}

/** A sequence of the new owner, with all that its next value must lie beyond. */
export interface SequencePlan {
  readonly sequence: string;
  readonly increment: bigint;
  /** Columns whose values it must lie beyond; undefined where to look would take a scan of the table. */
  readonly own: KeyColumn | undefined;
  readonly other: KeyColumn | undefined;
  readonly otherSequence: string | null;
}

/**
 * Finds the sequences behind the key columns, and behind others that move as they are: numbers of invoices. Done
 * ahead, so that no write is held meanwhile.
 */
export async function findSequences(
  tables: readonly TableMap[],
  next: Participant,
  previous: Participant,
): Promise<SequencePlan[]> {
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
      const own = keyColumn(map[next.side], link[next.side]);
      const sequence = await sequenceOf(next, own);
      if (!sequence) continue;
      const other = keyColumn(map[previous.side], link[previous.side]);
      const otherSequence = (await sequenceOf(previous, other))?.name ?? null;
      const { name, increment } = sequence;
      plans.push({
        ...{ sequence: name, increment, otherSequence },
        own: isKey || (await isIndexed(next, own)) ? own : undefined,
        other: isKey || (await isIndexed(previous, other)) ? other : undefined,
      });
    }
  }
  return plans;
}

/** Raises the sequences of `next`. Guarded by its epoch. */
export async function raiseSequences(
  plans: readonly SequencePlan[],
  next: Participant,
  previous: Participant,
  epoch: number,
): Promise<SequenceStep[]> {
  return next.guarded(epoch, async () => {
    const steps: SequenceStep[] = [];
    for (const { sequence, increment, own, other, otherSequence } of plans) {
      // One after the other: both may be the same side, and a session answers one question at a time.
      const before = await lastValue(next, sequence);
      const down = increment < 0n;
      const ownMost = own ? await outermost(next, own, down) : 0n;
      const otherMost = other ? await outermost(previous, other, down) : 0n;
      const otherLast = otherSequence === null ? 0n : await lastValue(previous, otherSequence);
      const beyond = (a: bigint, b: bigint): bigint => (a > b === down ? b : a);
      const least = [before, ownMost, otherMost, otherLast].reduce(beyond) + (down ? -GAP : GAP);
      // Where it counts in steps, it goes on with its own.
      const over = (least - before) % increment;
      const to = over === 0n ? least : least + increment - over;
      await next.client.query('SELECT setval($1::regclass, $2)', [sequence, to.toString()]);
      steps.push({ sequence, from: before.toString(), to: to.toString() });
    }
    return steps;
  });
}

function keyColumn(tables: readonly string[], place: Place): KeyColumn {
  return { table: tables[place.table] ?? '', column: place.column };
}

async function sequenceOf(side: Participant, key: KeyColumn): Promise<Sequence | null> {
  const schema = await readSchema(side.client, [parseTableName(key.table)]);
  return [...schema.values()][0]?.columns.get(key.column)?.sequence ?? null;
}

async function lastValue(side: Participant, sequence: string): Promise<bigint> {
  return BigInt(await scalar(side.client, `SELECT last_value FROM ${sequence}`));
}

/** Whether its outermost value is had without reading the table. */
async function isIndexed(side: Participant, { table, column }: KeyColumn): Promise<boolean> {
  const { rows } = await side.client.query(
    `SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
       JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam AND m.amname = 'btree'
      WHERE i.indrelid = $1::regclass AND a.attname = $2 AND i.indisvalid AND i.indpred IS NULL`,
    [quoteTable(parseTableName(table)), column],
  );
  return rows.length > 0;
}

/** 0 where keys are no numbers there: all its rows have come to the other side by now. */
async function outermost(side: Participant, key: KeyColumn, down: boolean): Promise<bigint> {
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
