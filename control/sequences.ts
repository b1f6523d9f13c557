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
  readonly own: KeyColumn;
  readonly other: KeyColumn;
  readonly otherSequence: string | null;
}

/** Finds the sequences behind the key columns; done ahead, so that no write is held meanwhile. */
export async function findSequences(
  tables: readonly TableMap[],
  next: Participant,
  previous: Participant,
): Promise<SequencePlan[]> {
  const plans: SequencePlan[] = [];
  for (const map of tables.map(mappedTable))
    for (const link of map.key) {
      // The drivers hand out the keys.
      if (link.monolith.table > 0 || link.service.table > 0) continue;
      const own = keyColumn(map[next.side], link[next.side]);
      const sequence = await sequenceOf(next, own);
      if (!sequence) continue;
      const other = keyColumn(map[previous.side], link[previous.side]);
      const otherSequence = (await sequenceOf(previous, other))?.name ?? null;
      const { name, increment } = sequence;
      plans.push({ sequence: name, increment, own, other, otherSequence });
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
      const ownMost = await outermost(next, own, down);
      const otherMost = await outermost(previous, other, down);
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
