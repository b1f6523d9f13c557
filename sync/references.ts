// The tables of references that lookup lenses ask: read when a flow starts, again when a value is not found,
// and now and then, where they are small. A row may be added at any time; one that comes to mean something else stops the flow,
// because what was copied by its old meaning stands.
import type pg from 'pg';
import { BanyanError } from '../core/errors.ts';
import { waitFor } from '../core/lifecycle.ts';
import { rawRows } from '../core/postgres/connect.ts';
import { parseTableName, quoteIdentifier, quoteTable } from '../core/postgres/identifiers.ts';
import type { Capability } from '../control/definition.ts';
import { referencesOf } from '../control/domain/mapped-table.ts';
import type { Owner } from '../control/domain/phase.ts';
import type { Reference } from '../control/lenses.ts';
import type { References } from './domain/lens.ts';
import { MappingError } from './domain/mapping.ts';
import { invisible } from './domain/snapshot.ts';
import type { Source } from './source.ts';

/** Rows beyond which a table is none of codes any more. */
const MOST_ROWS = 1_000_000;

/** As many rows are read again now and then. */
const FEW_ROWS = 10_000;
const LOOK_MS = 5_000;
const VISIBLE_TIMEOUT_MS = 30_000;

type Pairs = Readonly<Record<Owner, ReadonlyMap<string, string>>>;

export class LiveReferences implements References {
  readonly #asked: readonly Reference[];
  readonly #pairs = new Map<string, Pairs>();

  constructor(capability: Capability) {
    const all = referencesOf(capability.tables);
    this.#asked = [...new Map(all.map((one) => [nameOf(one), one])).values()];
  }

  /** Throws MappingError where a table does not tell one value from another, FLOW_STOPPED where it says something else than before. */
  async load(clients: Readonly<Record<Owner, pg.Client>>): Promise<void> {
    for (const reference of this.#asked) {
      const name = nameOf(reference);
      const pairs = await readPairs(clients[reference.side], reference);
      const before = this.#pairs.get(name)?.monolith ?? new Map<string, string>();
      for (const [value, stood] of before) {
        const stands = pairs.monolith.get(value);
        if (stands !== undefined && stands !== stood)
          throw changed(reference, value, stood, stands);
      }
      this.#pairs.set(name, pairs);
    }
  }

  /**
   * Loads once more, when `source` shows what these transactions have written: a commit is in the WAL
   * before it is visible.
   */
  async reload(
    source: Source,
    xids: readonly number[],
    clients: Readonly<Record<Owner, pg.Client>>,
  ): Promise<void> {
    await waitFor(
      async () => {
        const snapshot = await source.snapshot();
        return !xids.some((xid) => invisible(snapshot, xid));
      },
      {
        ...{ timeoutMs: VISIBLE_TIMEOUT_MS, everyMs: 10, what: 'a commit to become visible' },
        hint: 'Does a synchronous standby of the source not answer?',
      },
    );
    await this.load(clients);
  }

  /** Loads again and again, until the signal aborts: who uses a code that has changed asks for none that is new. */
  async watch(
    load: () => Promise<void>,
    pause: (ms: number, signal: AbortSignal) => Promise<unknown>,
    signal: AbortSignal,
  ): Promise<void> {
    while (this.#asked.length > 0) {
      await pause(LOOK_MS, signal);
      if (signal.aborted) return;
      const rows = [...this.#pairs.values()].reduce((sum, { monolith }) => sum + monolith.size, 0);
      if (rows <= FEW_ROWS) await load();
    }
  }

  find(reference: Reference, side: Owner, value: string): string | undefined {
    return this.#pairs.get(nameOf(reference))?.[side].get(value);
  }
}

function nameOf({ side, table, monolith, service }: Reference): string {
  return [side, table, monolith, service].join(' ');
}

async function readPairs(client: pg.Client, reference: Reference): Promise<Pairs> {
  const [monolith, service] = [reference.monolith, reference.service].map(quoteIdentifier);
  const rows = await rawRows(
    client,
    `SELECT ${monolith}::text, ${service}::text FROM ${quoteTable(parseTableName(reference.table))}
      WHERE ${monolith} IS NOT NULL AND ${service} IS NOT NULL LIMIT ${MOST_ROWS + 1}`,
  );
  if (rows.length > MOST_ROWS)
    throw new MappingError(
      `table ${reference.table}, which a lookup asks, has more than ${MOST_ROWS} rows: map it as a table`,
    );
  const forth = new Map<string, string>();
  const back = new Map<string, string>();
  for (const [left, right] of rows as string[][]) {
    if (left === undefined || right === undefined) continue;
    if (forth.has(left) || back.has(right))
      throw new MappingError(
        `table ${reference.table}, which a lookup asks, has ${JSON.stringify(forth.has(left) ? left : right)} twice: it cannot be inverted`,
      );
    forth.set(left, right);
    back.set(right, left);
  }
  return { monolith: forth, service: back };
}

function changed(
  { table, monolith, service }: Reference,
  value: string,
  stood: string,
  stands: string,
): BanyanError {
  return new BanyanError(
    'FLOW_STOPPED',
    `in ${table} ${monolith} ${value} stood for ${service} ${stood} and stands for ${stands} now: rows that were copied have the old one`,
    {
      hint: 'Undo the change, and the flow goes on by itself. To keep it: `banyan sync pause`, `banyan sync resume`, and repair what `banyan verify` finds.',
    },
  );
}
