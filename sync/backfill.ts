// The first copy of the tables, beside the running stream: chunks by key between low and high marks
// (copy-table.ts, domain/window.ts), no table lock, no long transaction, resumable. Before it, stray
// target rows are pruned, children first; tables are copied parents first, independent ones side by side. Rows that could not be completed from
// the stream, or came before their parent, are read again until none is left.
import type pg from 'pg';
import { transaction } from '../core/postgres/connect.ts';
import { formatTable } from '../core/postgres/identifiers.ts';
import { sleep } from '../core/lifecycle.ts';
import { belongsSql } from '../control/domain/row-filter.ts';
import type { CopyPace } from './copy-pace.ts';
import { copyTable, marksOf } from './copy-table.ts';
import type { Reading } from './chunk.ts';
import type { Copying } from './copying.ts';
import { keyText } from './domain/target-table.ts';
import { extraRows } from './compare-rows.ts';
import { driverOf, isDrivenText } from './domain/emptying-statements.ts';
import { targetColumns, targetKey, type Edge } from './domain/mapping.ts';
import { deleteKeys, nextKeys, type Key } from './keys.ts';
import { Mutex } from './mutex.ts';
import { isKeyViolation } from './refusal.ts';
import { deleteOf, insertOf, type Source, type SourceTable } from './source.ts';

export interface OpenedSource {
  readonly source: Source;
  close(): Promise<unknown>;
}

export interface BackfillOptions {
  readonly flow: string;
  readonly source: Source;
  /** Parents first by the target's foreign keys; so are the edges of each. */
  readonly tables: readonly SourceTable[];
  readonly copying: Copying;
  /** For each table those that must be copied before it. */
  readonly waits: ReadonlyMap<string, readonly string[]>;
  /** How many tables are copied at a time, each beyond the first by a source of its own. */
  readonly parallel: number;
  readonly openSource: () => Promise<OpenedSource>;
  readonly pace: CopyPace;
  /** Runs work on the applier's session, between its batches. */
  readonly exclusively: <T>(work: (client: pg.Client) => Promise<T>) => Promise<T>;
  readonly chunkRows?: number;
  /** How time passes between two looks; by the clock where left out. */
  readonly pause?: typeof sleep;
}

const PRUNE_ROWS = 2_000;
const REREAD_KEYS = 500;
/** Times that rows are read again before the next table is begun all the same. */
const PASSES = 20;
const AGAIN_MS = 50;

/** Copies what is left to copy, then reads rows again as they come up. Ends with the signal. */
export async function runBackfill(options: BackfillOptions, signal: AbortSignal): Promise<void> {
  const { tables, copying, pause = sleep } = options;
  for (const table of [...tables].reverse())
    if (copying.stage(table.label) === 'prune') await prune(options, table, signal);
  await copyAll(options, signal);
  while (!signal.aborted) {
    if (copying.rereads) await rereadAll(options, signal);
    await pause(AGAIN_MS, signal);
  }
}

/** Several workers, each with the table that comes first among those that wait for nobody. */
async function copyAll(options: BackfillOptions, signal: AbortSignal): Promise<void> {
  const { tables, waits, copying, pause = sleep } = options;
  const stop = new AbortController();
  const ended = AbortSignal.any([signal, stop.signal]);
  const taken = new Set(
    tables.flatMap(({ label }) => (copying.stage(label) === 'done' ? label : [])),
  );
  const finished = new Set(taken);
  const next = (): SourceTable | undefined =>
    tables.find(
      ({ label }) => !taken.has(label) && !waits.get(label)?.some((one) => !finished.has(one)),
    );
  const rereading = new Mutex();
  const work = async (open: () => Promise<OpenedSource>): Promise<void> => {
    let opened: OpenedSource | undefined;
    try {
      while (!ended.aborted && taken.size < tables.length) {
        const table = next();
        if (!table) {
          await pause(AGAIN_MS, ended);
          continue;
        }
        taken.add(table.label);
        opened ??= await open();
        const own = { ...options, source: opened.source };
        await copyTable(own, table, ended);
        await rereading.run(() => rereadParents(own, ended));
        finished.add(table.label);
      }
    } catch (error) {
      stop.abort();
      throw error;
    } finally {
      await opened?.close();
    }
  };
  const own = { source: options.source, close: () => Promise.resolve() };
  const workers = Array.from({ length: Math.max(1, options.parallel) }, (_, index) =>
    work(index === 0 ? () => Promise.resolve(own) : options.openSource),
  );
  const results = await Promise.allSettled(workers);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
}

async function betweenMarks(
  options: BackfillOptions,
  tables: readonly SourceTable[],
  read: () => Promise<Reading>,
  signal: AbortSignal,
): Promise<void> {
  const labels = tables.map((table) => table.label);
  const { pause = sleep } = options;
  while (!signal.aborted) {
    const { settled } = await options.copying.window(labels, marksOf(options, read), signal);
    if ((await settled) === 'applied') return;
    await pause(AGAIN_MS, signal);
  }
}

/** Deletes the target rows whose key the source does not have. Nothing is streamed into them yet. */
async function prune(
  options: BackfillOptions,
  table: SourceTable,
  signal: AbortSignal,
): Promise<void> {
  const limit = options.chunkRows ?? PRUNE_ROWS;
  // Parts first: without its driver nobody would know that one is ours.
  const edges = [...table.edges].reverse();
  for (const edge of [
    ...edges.filter((one) => one.optional),
    ...edges.filter((one) => !one.optional),
  ]) {
    const columns = targetKey(edge);
    // Rows that "where" leaves to the target are no strays.
    const driver = driverOf(edge, table.edges);
    const condition = [
      extraRows(edge),
      belongsSql(edge.guard, 't') ?? 'true',
      driver ? isDrivenText(edge, driver) : 'true',
    ].join(' AND ');
    let cursor: Key | null = null;
    while (!signal.aborted) {
      await options.pace.turn(signal);
      const after: Key | null = cursor;
      const keys: string[][] = await options.exclusively((client) =>
        nextKeys(client, edge.target, columns, after, limit, null, condition),
      );
      const present = await options.source.existing(table, keys);
      const stray = keys.filter((key) => !present.has(keyText(key)));
      if (stray.length > 0)
        await options.exclusively((client) => removeStray(options, client, table, edge, stray));
      if (keys.length < limit) break;
      cursor = keys.at(-1) ?? null;
    }
  }
}

/** What something still points to waits on the list of rows to read again; so do the values of a part. */
async function removeStray(
  { copying, tables }: BackfillOptions,
  client: pg.Client,
  table: SourceTable,
  edge: Edge,
  keys: readonly Key[],
): Promise<void> {
  let again = [table];
  try {
    if (edge.driver) {
      await deleteAll(client, edge, keys);
      // Parts that it leaves behind wait for it from now on.
      again = familyOf(table, tables).filter((one) => !one.edges.some((part) => part.driver));
    }
  } catch (error) {
    if (!isKeyViolation(error)) throw error;
  }
  if (again.length === 0) return;
  await copying.readAgain(
    client,
    again.flatMap(({ label }) => keys.map((key) => ({ table: label, key }))),
  );
  copying.rereads = true;
}

async function deleteAll(client: pg.Client, edge: Edge, keys: readonly Key[]): Promise<void> {
  const run = (): Promise<void> => deleteKeys(client, edge.target, targetKey(edge), keys);
  if (!edge.skipsTriggers) return run();
  await transaction(client, async () => {
    await client.query('SET LOCAL session_replication_role = replica');
    await run();
  });
}

/** Parents that could not be completed come before their children: each of these would be refused. */
async function rereadParents(options: BackfillOptions, signal: AbortSignal): Promise<void> {
  let left = Number.POSITIVE_INFINITY;
  for (let pass = 0; options.copying.rereads && pass < PASSES && !signal.aborted; pass++) {
    const before = left;
    left = await rereadAll(options, signal);
    // Those that are left wait for what is still to be copied.
    if (left >= before) return;
  }
}

/** One pass over the list of rows to read again; gives how many are left. */
async function rereadAll(options: BackfillOptions, signal: AbortSignal): Promise<number> {
  const { flow, copying, exclusively } = options;
  for (const table of options.tables) {
    const keys = await exclusively(async (client) => {
      const { rows } = await client.query<{ key: string[] }>(
        'SELECT key FROM banyan.reread WHERE flow = $1 AND source_table = $2 LIMIT $3',
        [flow, table.label, REREAD_KEYS],
      );
      return rows.map((row) => row.key);
    });
    if (keys.length === 0) continue;
    const family = familyOf(table, options.tables);
    await betweenMarks(options, family, () => readKeys(options, table, family, keys), signal);
  }
  return exclusively(async (client) => {
    const { rows } = await client.query<{ left: number }>(
      'SELECT count(*)::int AS left FROM banyan.reread WHERE flow = $1',
      [flow],
    );
    const { left = 0 } = rows[0] ?? {};
    copying.rereads = left > 0;
    return left;
  });
}

/** The source tables that together make up the target rows which `table` feeds. */
function familyOf(table: SourceTable, tables: readonly SourceTable[]): SourceTable[] {
  const targets = new Set(table.edges.map((edge) => formatTable(edge.target)));
  return tables.filter((one) => one.edges.some((edge) => targets.has(formatTable(edge.target))));
}

async function readKeys(
  options: BackfillOptions,
  table: SourceTable,
  family: readonly SourceTable[],
  asked: readonly Key[],
): Promise<Reading> {
  const { snapshot, rows, read } = await options.source.readKeys(family, asked);
  // The others stay on the list.
  const keys = asked.slice(0, read);
  const present = (one: SourceTable): string[] =>
    (rows.get(one.label) ?? []).map((row) => keyText(one.keyOf(row)));
  const drivers = family.filter((one) => one.edges.some((edge) => edge.driver));
  const driven = new Set(drivers.flatMap(present));
  const own = new Set(present(table));
  const drives = drivers.includes(table);
  const gone = keys.filter((key) => {
    const text = keyText(key);
    return !own.has(text) && (drives || driven.has(text));
  });
  // Of a row that is there, a part that is not has no values. One that the row needs is waited for.
  const others = family.filter((one) => one !== table && !drivers.includes(one) && !isNeeded(one));
  const absent = others.flatMap((one) => {
    const there = new Set(present(one));
    return keys
      .filter((key) => driven.has(keyText(key)) && !there.has(keyText(key)))
      .map((key) => ({ one, key }));
  });
  // A part whose driver is not there is read with it, when it comes.
  const isWritten = (one: SourceTable, key: Key): boolean =>
    drivers.includes(one) || driven.has(keyText(key));
  return {
    snapshot,
    chunk: (survives = () => true) => {
      const changes = [
        ...gone.filter(survives).map((key) => deleteOf(table, key)),
        ...family.flatMap((one) =>
          (rows.get(one.label) ?? [])
            .filter((row) => isWritten(one, one.keyOf(row)) && survives(one.keyOf(row)))
            .map((row) => insertOf(one, row)),
        ),
        ...absent.filter(({ key }) => survives(key)).map(({ one, key }) => deleteOf(one, key)),
      ];
      return {
        ...{ table: table.label, size: changes.length, rows: () => changes },
        progress: {
          kind: 'reread',
          resolved: keys.filter(survives),
          awaited: keys.filter(
            (key) => survives(key) && own.has(keyText(key)) && !isWritten(table, key),
          ),
        },
      };
    },
  };
}

function isNeeded(part: SourceTable): boolean {
  return part.edges.some((edge) => targetColumns(edge).some((column) => column.needed));
}
