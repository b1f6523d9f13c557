// Compares every mapped row of both sides while they are being written. A first pass over both sides,
// by sums where the mapping allows it, collects suspects; a suspect counts only when neither side's row has changed around a comparison
// that a barrier of each flow has preceded, so rows in flight are no false alarm. A row that never
// holds still is reported as unsettled, not as different.
import type pg from 'pg';
import { BanyanError } from '../core/errors.ts';
import { sleep, waitFor } from '../core/lifecycle.ts';
import { connect, rawRows, transaction } from '../core/postgres/connect.ts';
import { formatTable, quoteTable, type TableName } from '../core/postgres/identifiers.ts';
import type { Logins } from '../control/connections.ts';
import type { Capability } from '../control/definition.ts';
import { encodeMessage } from '../control/domain/flow.ts';
import { MESSAGE_PREFIX } from '../control/domain/names.ts';
import type { Owner } from '../control/domain/phase.ts';
import type { VerifyOutcome } from '../control/evidence.ts';
import { compareRows, type RowDifference } from './compare-rows.ts';
import { keyText } from './domain/coalesce.ts';
import { compileEdges, resolveTable, targetKey, type Edge } from './domain/mapping.ts';
import { readSchemas } from './schemas.ts';
import { existingKeys, keyArrays, keyJoin, nextKeys, type Key, type KeyColumn } from './keys.ts';
import { differingRanges, type KeyRange } from './range-sums.ts';
import { explain } from './refusal.ts';
import { Source, sourceTable, type SourceTable } from './source.ts';

export interface VerifyOptions {
  readonly id: string;
  readonly capability: Capability;
  readonly monolith: Logins;
  readonly service: Logins;
  readonly onProgress?: (rows: number) => void;
  readonly chunkRows?: number;
  /** Has every row that is wrong read again from this side, which owns the data. */
  readonly repairFrom?: Owner;
}

/** A difference that was confirmed. */
export interface VerifySample {
  readonly table: string;
  readonly key: Key;
  readonly kind: 'missing' | 'extra' | 'different';
  readonly columns: RowDifference['columns'];
}

interface Suspect {
  readonly table: SourceTable;
  readonly key: Key;
}

const CHUNK_ROWS = 1_000;
/** Rows that are summed at once, in chunks. */
const RANGE_CHUNKS = 16;
const EVERYTHING: KeyRange = { after: null, upTo: null };
const ROUNDS = 20;
const SAMPLES = 10;
const BARRIER_TIMEOUT_MS = 30_000;

/** Throws TIMED_OUT when a flow does not move, MOVE_NOT_ALLOWED when none runs. */
export async function verify(options: VerifyOptions): Promise<VerifyOutcome> {
  const opened: pg.Client[] = [];
  const open = async (url: string): Promise<pg.Client> => {
    const client = await connect(url, { applicationName: 'banyan-verify' });
    opened.push(client);
    return client;
  };
  try {
    const sides = {
      monolith: {
        read: await open(options.monolith.capture),
        write: await open(options.monolith.applier),
      },
      service: {
        read: await open(options.service.capture),
        write: await open(options.service.applier),
      },
    };
    return await new Verification(options, sides).run();
  } catch (error) {
    throw explain(error);
  } finally {
    for (const client of opened) await client.end().catch(() => undefined);
  }
}

interface Side {
  /** May write messages; reads the monolith's rows. */
  readonly read: pg.Client;
  /** Sees the checkpoints of the flow that leads here. */
  readonly write: pg.Client;
}

class Verification {
  readonly #options: VerifyOptions;
  readonly #monolith: Side;
  readonly #service: Side;
  readonly #source: Source;
  readonly #chunkRows: number;

  constructor(options: VerifyOptions, sides: { monolith: Side; service: Side }) {
    this.#options = options;
    this.#monolith = sides.monolith;
    this.#service = sides.service;
    this.#source = new Source(sides.monolith.read);
    this.#chunkRows = options.chunkRows ?? CHUNK_ROWS;
  }

  async run(): Promise<VerifyOutcome> {
    const { capability, id } = this.#options;
    const schemas = await readSchemas(capability, this.#monolith.read, this.#service.read);
    const edges = compileEdges(capability.tables.map(resolveTable), schemas, 'to', 'owner');
    const labels = [...new Set(edges.map((edge) => formatTable(edge.source)))];
    const tables = labels.map((label) => sourceTable(label, edges, schemas.monolith));
    await this.#barriers();
    let rows = 0;
    const suspects: Suspect[] = [];
    for (const table of tables) {
      const before = rows;
      const onProgress = (count: number): void => this.#options.onProgress?.(before + count);
      const summed = await differingRanges({
        source: this.#monolith.read,
        target: this.#service.read,
        table,
        rangeRows: this.#chunkRows * RANGE_CHUNKS,
        smallRows: this.#chunkRows,
        onProgress,
      });
      for (const range of summed?.ranges ?? [EVERYTHING]) {
        const passed = await this.#rowsOf(table, range, summed ? undefined : onProgress);
        if (!summed) rows += passed.rows;
        suspects.push(...passed.suspects);
        for (const edge of table.edges) suspects.push(...(await this.#extras(table, edge, range)));
      }
      rows += summed?.rows ?? 0;
    }
    const confirmed = await this.#settle(suspects);
    const { repairFrom } = this.#options;
    if (repairFrom) await this.#repair(repairFrom, confirmed.samples, edges);
    const count = (kind: VerifySample['kind']): number =>
      confirmed.samples.filter((one) => one.kind === kind).length;
    return {
      capability: id,
      rows,
      missing: count('missing'),
      extra: count('extra'),
      different: count('different'),
      unsettled: confirmed.unsettled,
      samples: confirmed.samples.slice(0, SAMPLES),
    };
  }

  /** The monolith's rows in a range of keys, chunk by chunk. */
  async #rowsOf(
    table: SourceTable,
    { after, upTo }: KeyRange,
    progress?: (rows: number) => void,
  ): Promise<{ rows: number; suspects: Suspect[] }> {
    const suspects = new Map<string, Suspect>();
    let cursor: Key | null = after === null ? null : [after];
    let rows = 0;
    for (;;) {
      const read = await this.#source.readAfter(
        table,
        cursor,
        this.#chunkRows,
        upTo === null ? null : [upTo],
      );
      cursor = read.cursor;
      rows += read.rows.length;
      for (const edge of table.edges)
        for (const found of await compareRows(this.#service.read, table, edge, read.rows))
          suspects.set(keyText(found.key), { table, key: found.key });
      progress?.(rows);
      if (read.rows.length < this.#chunkRows) return { rows, suspects: [...suspects.values()] };
    }
  }

  /** Keys of the service in a range that the monolith does not have. */
  async #extras(table: SourceTable, edge: Edge, { after, upTo }: KeyRange): Promise<Suspect[]> {
    const suspects: Suspect[] = [];
    let cursor: Key | null = after === null ? null : [after];
    for (;;) {
      const keys = await nextKeys(
        this.#service.read,
        edge.target,
        targetKey(edge),
        cursor,
        this.#chunkRows,
        upTo === null ? null : [upTo],
      );
      const present = await this.#source.existing(table, keys);
      for (const key of keys) if (!present.has(keyText(key))) suspects.push({ table, key });
      if (keys.length < this.#chunkRows) return suspects;
      cursor = keys.at(-1) ?? null;
    }
  }

  /** Lists rows for the owner's flow to read again: what it then finds at the owner counts. */
  async #repair(
    owner: Owner,
    wrong: readonly VerifySample[],
    edges: readonly Edge[],
  ): Promise<void> {
    const { write } = owner === 'monolith' ? this.#service : this.#monolith;
    const flow = `${this.#options.id}:${owner === 'monolith' ? 'to' : 'back'}`;
    await transaction(write, () => this.#list(write, flow, owner, wrong, edges));
  }

  async #list(
    write: pg.Client,
    flow: string,
    owner: Owner,
    wrong: readonly VerifySample[],
    edges: readonly Edge[],
  ): Promise<void> {
    // Held until they are listed: a switch that comes waits for them, one that has come is not overwritten.
    const { rows } = await write.query(
      `SELECT 1 FROM banyan.checkpoint WHERE flow = $1 AND mode IN ('owner', 'sharing owner') FOR SHARE`,
      [flow],
    );
    if (rows.length === 0)
      throw new BanyanError(
        'MOVE_NOT_ALLOWED',
        `the ${owner} does not own the data of "${this.#options.id}" any more`,
        { hint: 'Verify once more: the other side is right now.' },
      );
    for (const { table, key } of wrong) {
      const edge = edges.find((one) => formatTable(one.target) === table);
      const label = owner === 'monolith' && edge ? formatTable(edge.source) : table;
      await write.query(
        'INSERT INTO banyan.reread (flow, source_table, key) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING',
        [flow, label, key],
      );
    }
  }

  async #settle(
    suspects: readonly Suspect[],
  ): Promise<{ samples: VerifySample[]; unsettled: number }> {
    const samples: VerifySample[] = [];
    let open = new Map(suspects.map((one) => [`${one.table.label} ${keyText(one.key)}`, one]));
    for (let round = 0; round < ROUNDS && open.size > 0; round++) {
      if (round > 0) await sleep(50 * round);
      const next = new Map<string, Suspect>();
      for (const table of new Set([...open.values()].map((one) => one.table))) {
        const asked = [...open.values()].filter((one) => one.table === table);
        for (let index = 0; index < asked.length; index += this.#chunkRows) {
          const part = asked.slice(index, index + this.#chunkRows);
          const keys = part.map((one) => one.key);
          const before = await this.#versions(table, keys);
          await this.#barriers();
          const parked = await this.#parked();
          const found = await this.#compareKeys(table, keys);
          const after = await this.#versions(table, keys);
          for (const one of part) {
            const key = keyText(one.key);
            if (parked.has(key) || before.get(key) !== after.get(key))
              next.set(`${table.label} ${key}`, one);
            else samples.push(...(found.get(key) ?? []));
          }
        }
      }
      open = next;
    }
    return { samples, unsettled: open.size };
  }

  /** Keys of rows that a flow has to read again: their target is known to be behind. */
  async #parked(): Promise<Set<string>> {
    const parked = new Set<string>();
    for (const { write } of [this.#monolith, this.#service])
      for (const [key] of await rawRows(
        write,
        'SELECT to_json(key) FROM banyan.reread WHERE split_part(flow, $1, 1) = $2',
        [':', this.#options.id],
      ))
        parked.add(keyText(JSON.parse(key ?? '[]') as string[]));
    return parked;
  }

  /** Physical versions of both sides' rows: equal before and after means that nothing was written between. */
  async #versions(table: SourceTable, keys: readonly Key[]): Promise<Map<string, string>> {
    const versions = new Map<string, string>();
    const note = (key: string, version: string): void => {
      versions.set(key, `${versions.get(key) ?? ''} ${version}`);
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
    await read(this.#monolith.read, table.relation, table.key);
    for (const edge of table.edges) await read(this.#service.read, edge.target, targetKey(edge));
    return versions;
  }

  async #compareKeys(
    table: SourceTable,
    keys: readonly Key[],
  ): Promise<Map<string, VerifySample[]>> {
    const result = new Map<string, VerifySample[]>();
    const add = (key: Key, sample: VerifySample): void => {
      result.set(keyText(key), [...(result.get(keyText(key)) ?? []), sample]);
    };
    const { rows } = await this.#source.readKeys([table], keys);
    const own = rows.get(table.label) ?? [];
    for (const edge of table.edges)
      for (const found of await compareRows(this.#service.read, table, edge, own))
        add(found.key, found);
    const present = new Set(own.map((row) => keyText(table.keyOf(row))));
    const absent = keys.filter((key) => !present.has(keyText(key)));
    for (const edge of table.edges) {
      const there = await existingKeys(this.#service.read, edge.target, targetKey(edge), absent);
      for (const key of absent)
        if (there.has(keyText(key)))
          add(key, { table: formatTable(edge.target), key, kind: 'extra', columns: [] });
    }
    return result;
  }

  /** Waits until each flow that exists has applied everything that was committed before now. */
  async #barriers(): Promise<void> {
    // While both sides write, what the service has written is answered on the way there.
    const back = await this.#barrier(this.#service.read, this.#monolith.write, 'back');
    const to = await this.#barrier(this.#monolith.read, this.#service.write, 'to');
    if (!to && !back)
      throw new BanyanError(
        'MOVE_NOT_ALLOWED',
        `capability "${this.#options.id}" has no flow: there is nothing to verify`,
        {
          hint: 'Advance it to sync first.',
        },
      );
  }

  async #barrier(source: pg.Client, target: pg.Client, direction: 'to' | 'back'): Promise<boolean> {
    const flow = `${this.#options.id}:${direction}`;
    const present = await rawRows(target, `SELECT to_regclass('banyan.checkpoint')`);
    if ((present[0]?.[0] ?? null) === null) return false;
    const reached = async (lsn: string): Promise<boolean | undefined> => {
      const rows = await rawRows(
        target,
        'SELECT commit_lsn >= $2::pg_lsn FROM banyan.checkpoint WHERE flow = $1',
        [flow, lsn],
      );
      return rows[0] && rows[0][0] === 't';
    };
    if ((await reached('0/0')) === undefined) return false;
    const emitted = await rawRows(source, 'SELECT pg_logical_emit_message(true, $1, $2)', [
      MESSAGE_PREFIX,
      encodeMessage({ kind: 'barrier', capability: this.#options.id }),
    ]);
    const lsn = emitted[0]?.[0] ?? '0/0';
    await waitFor(() => reached(lsn), {
      timeoutMs: BARRIER_TIMEOUT_MS,
      everyMs: 10,
      what: `flow ${flow} to apply what has been committed`,
      hint: 'Is `banyan sync` running? `banyan status` shows its lag and errors.',
    });
    return true;
  }
}
