// Rows that looked different in a first pass are looked at again until they are settled: a suspect
// counts only when neither side's row has changed around a comparison that a barrier of each flow has
// preceded, so rows in flight are no false alarm. A row that never holds still stays unsettled.
import type pg from 'pg';
import { sleep } from '../core/lifecycle.ts';
import { rawRows } from '../core/postgres/connect.ts';
import { formatTable, quoteTable, type TableName } from '../core/postgres/identifiers.ts';
import { passBarriers, type Sides } from './barriers.ts';
import { compareRows, type RowDifference, extraRows } from './compare-rows.ts';
import { keyText } from './domain/target-table.ts';
import { targetKey } from './domain/mapping.ts';
import { asWritten, existingKeys, keyArrays, keyJoin, type Key, type KeyColumn } from './keys.ts';
import { Source, type SourceTable } from './source.ts';

/** A row that looked different once. */
export interface Suspect {
  readonly table: SourceTable;
  readonly key: Key;
}

/** A difference that was confirmed. */
export interface VerifySample {
  readonly table: string;
  readonly key: Key;
  readonly kind: 'missing' | 'extra' | 'different';
  readonly columns: RowDifference['columns'];
}

export interface SettleOptions {
  readonly capability: string;
  readonly sides: Sides;
  readonly chunkRows: number;
  /** Asks anew for what values mean, where one has no meaning yet. */
  readonly refresh: () => Promise<void>;
  readonly onWrong: (sample: VerifySample) => void;
  readonly signal: AbortSignal | undefined;
}

const ROUNDS = 20;

/** Tells what is wrong; gives how many rows never held still. Throws when the signal aborts. */
export async function settle(
  suspects: readonly Suspect[],
  options: SettleOptions,
): Promise<number> {
  const { capability, sides, chunkRows, refresh, onWrong, signal } = options;
  let open = new Map(suspects.map((one) => [`${one.table.label} ${keyText(one.key)}`, one]));
  for (let round = 0; round < ROUNDS && open.size > 0; round++) {
    if (round > 0) await sleep(50 * round, signal);
    const next = new Map<string, Suspect>();
    for (const table of new Set([...open.values()].map((one) => one.table))) {
      const asked = [...open.values()].filter((one) => one.table === table);
      for (let index = 0; index < asked.length; index += chunkRows) {
        signal?.throwIfAborted();
        const part = asked.slice(index, index + chunkRows);
        const keys = part.map((one) => one.key);
        const before = await versions(sides, table, keys);
        await passBarriers(capability, sides);
        const parked = await behind(capability, sides);
        const texts = parked.keys.size > 0 ? await textsAtService(sides, table, keys) : [];
        let found = await compareKeys(sides, table, keys);
        if ([...found.values()].flat().some(isWithoutForm)) {
          await refresh();
          found = await compareKeys(sides, table, keys);
        }
        const after = await versions(sides, table, keys);
        for (const [at, one] of part.entries()) {
          const key = keyText(one.key);
          const samples = found.get(key) ?? [];
          const waits =
            samples.some((sample) => parked.orphans.has(`${sample.table} ${key}`)) ||
            texts.some((all) => parked.keys.has(all[at] ?? ''));
          if (parked.keys.has(key) || waits || before.get(key) !== after.get(key))
            next.set(`${table.label} ${key}`, one);
          else samples.forEach(onWrong);
        }
      }
    }
    open = next;
  }
  return open.size;
}

/** A code of the monolith that was not known yet. */
function isWithoutForm({ columns }: VerifySample): boolean {
  return columns.some(({ why }) => why !== undefined);
}

/** The keys as each of the service's tables has them: rows that it owns are listed by these. */
function textsAtService(
  { service }: Sides,
  table: SourceTable,
  keys: readonly Key[],
): Promise<string[][]> {
  return Promise.all(
    table.edges.map(async (edge) =>
      (await asWritten(service.read, edge.target, targetKey(edge), keys)).map(keyText),
    ),
  );
}

/** Keys of rows that a flow has to read again, and names of parts that wait for their driver: their target is known to be behind. */
async function behind(
  capability: string,
  { monolith, service }: Sides,
): Promise<{ readonly keys: Set<string>; readonly orphans: Set<string> }> {
  const keys = new Set<string>();
  const orphans = new Set<string>();
  const read = async (client: pg.Client, table: string): Promise<[string, string][]> => {
    const rows = await rawRows(
      client,
      `SELECT source_table, to_json(key) FROM banyan.${table} WHERE split_part(flow, $1, 1) = $2`,
      [':', capability],
    );
    return rows.map(([name, key]) => [name ?? '', keyText(JSON.parse(key ?? '[]') as string[])]);
  };
  for (const { write } of [monolith, service]) {
    for (const [, key] of await read(write, 'reread')) keys.add(key);
    for (const [table, key] of await read(write, 'orphan')) orphans.add(`${table} ${key}`);
  }
  return { keys, orphans };
}

/** Physical versions of both sides' rows: equal before and after means that nothing was written between. */
async function versions(
  { monolith, service }: Sides,
  table: SourceTable,
  keys: readonly Key[],
): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const note = (key: string, version: string): void => {
    found.set(key, `${found.get(key) ?? ''} ${version}`);
  };
  const read = async (
    client: pg.Client,
    name: TableName,
    columns: readonly KeyColumn[],
  ): Promise<void> => {
    const { from, on, asked } = keyJoin(columns);
    const text = `SELECT t.tableoid, t.ctid, t.xmin, ${asked} FROM ${quoteTable(name)} AS t JOIN ${from} ON ${on}`;
    for (const [oid, ctid, xmin, ...key] of await rawRows(client, text, keyArrays(columns, keys)))
      note(keyText(key as string[]), `${name.table} ${oid ?? ''} ${ctid ?? ''} ${xmin ?? ''}`);
  };
  await read(monolith.read, table.relation, table.key);
  for (const edge of table.edges) await read(service.read, edge.target, targetKey(edge));
  return found;
}

async function compareKeys(
  { monolith, service }: Sides,
  table: SourceTable,
  keys: readonly Key[],
): Promise<Map<string, VerifySample[]>> {
  const result = new Map<string, VerifySample[]>();
  const add = (key: Key, sample: VerifySample): void => {
    result.set(keyText(key), [...(result.get(keyText(key)) ?? []), sample]);
  };
  const source = new Source(monolith.read);
  const present = new Set<string>();
  for (let done = 0; done < keys.length;) {
    const { rows, read } = await source.readKeys([table], keys.slice(done));
    done += read;
    const own = rows.get(table.label) ?? [];
    for (const edge of table.edges)
      for (const found of await compareRows(service.read, table, edge, own)) add(found.key, found);
    for (const row of own) present.add(keyText(table.keyOf(row)));
  }
  // The other side may write a key that is the same in a text of its own.
  const other = keys.filter((key) => !present.has(keyText(key)));
  const same = await source.existing(table, other);
  const absent = other.filter((key) => !same.has(keyText(key)));
  for (const edge of table.edges) {
    const there = await existingKeys(
      service.read,
      edge.target,
      targetKey(edge),
      absent,
      extraRows(edge),
    );
    for (const key of absent)
      if (there.has(keyText(key)))
        add(key, {
          table: formatTable(edge.target),
          key,
          kind: edge.driver ? 'extra' : 'different',
          columns: [],
        });
  }
  return result;
}
