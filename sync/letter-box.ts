// What a human may see and do of the dead letters of a capability, through the applier's login of each
// target; a running flow takes note of it within a second.
import type pg from 'pg';
import { BanyanError } from '../core/errors.ts';
import { sleep } from '../core/lifecycle.ts';
import { transaction, withClient } from '../core/postgres/connect.ts';
import { formatTable, parseTableName } from '../core/postgres/identifiers.ts';
import type { TableMap } from '../control/definition.ts';
import { scalar } from '../control/participant.ts';
import type { Direction } from '../control/domain/flow.ts';
import type { Mode } from './domain/mapping.ts';
import type { StoredChange } from './domain/parked.ts';

export interface LetterLine {
  readonly id: string;
  readonly direction: Direction;
  /** Table of the source. */
  readonly table: string;
  /** Keys of the rows concerned, as the target writes them. */
  readonly keys: readonly (readonly string[])[];
  readonly change: StoredChange;
  /** Null for one that only waits behind another of its row. */
  readonly error: string | null;
  readonly attempts: number;
  readonly position: string;
  /** ISO. */
  readonly committedAt: string;
  readonly parkedAt: string;
}

/** The logins of the appliers at both ends: `to` writes at the service, `back` at the monolith. */
export type Appliers = Readonly<Record<Direction, string>>;

const DIRECTIONS: readonly Direction[] = ['to', 'back'];

/** Every parked change of a capability, in source order. */
export async function listLetters(capability: string, appliers: Appliers): Promise<LetterLine[]> {
  return everywhere(appliers, async (client, direction) => {
    const { rows } = await client.query<LetterRow>(
      `SELECT id, source_table, keys, change, error, attempts, position, committed_at, parked_at
         FROM banyan.parked WHERE flow = $1 ORDER BY id`,
      [`${capability}:${direction}`],
    );
    return rows.map((row) => ({
      id: row.id,
      direction,
      table: row.source_table,
      keys: row.keys,
      change: row.change,
      error: row.error,
      attempts: row.attempts,
      position: row.position,
      committedAt: row.committed_at.toISOString(),
      parkedAt: row.parked_at.toISOString(),
    }));
  });
}

/** Asks for a retry of all that is parked; gives how many changes that are. */
export async function retryLetters(capability: string, appliers: Appliers): Promise<number> {
  const counts = await everywhere(appliers, async (client, direction) => {
    const { rowCount } = await client.query(
      'UPDATE banyan.parked SET retry = true WHERE flow = $1',
      [`${capability}:${direction}`],
    );
    return [rowCount ?? 0];
  });
  return counts.reduce((sum, count) => sum + count, 0);
}

/** What is parked once all that was to be tried again has been; undefined where no flow does that in time. */
export async function lettersAfterRetry(
  capability: string,
  appliers: Appliers,
  timeoutMs: number,
): Promise<LetterLine[] | undefined> {
  const waiting = (): Promise<true[]> =>
    everywhere(appliers, async (client, direction) => {
      const { rows } = await client.query(
        'SELECT 1 FROM banyan.parked WHERE flow = $1 AND retry LIMIT 1',
        [`${capability}:${direction}`],
      );
      return rows.map(() => true as const);
    });
  for (const end = performance.now() + timeoutMs; (await waiting()).length > 0;) {
    if (performance.now() > end) return undefined;
    await sleep(200);
  }
  return listLetters(capability, appliers);
}

/**
 * Gives a change up: it will never be applied. The ones behind it are tried next. What the service made
 * of the owner's row under a write canary gives way to that row: it is read again. Gives whether it is so.
 * `tables` are the capability's. Throws USAGE for an id that is not parked.
 */
export async function skipLetter(
  capability: string,
  appliers: Appliers,
  direction: Direction,
  id: string,
  tables: readonly TableMap[] = [],
): Promise<boolean> {
  const flow = `${capability}:${direction}`;
  return withClient(appliers[direction], SESSION, (client) =>
    transaction(client, async () => {
      const { rows } = await client.query<
        Pick<LetterRow, 'source_table' | 'keys'> & { mode: Mode }
      >(
        'DELETE FROM banyan.parked WHERE flow = $1 AND id = $2 RETURNING source_table, keys, mode',
        [flow, id],
      );
      const [letter] = rows;
      if (!letter)
        throw new BanyanError('USAGE', `no change ${id} is parked on the way ${direction}`, {
          hint: `\`banyan sync show ${capability}\` lists them.`,
        });
      await client.query('UPDATE banyan.parked SET retry = true WHERE flow = $1', [flow]);
      if (letter.mode !== 'sharing guest') return false;
      const owners = ownersOf(tables, letter.source_table);
      // It is still parked should we not come to the end of this; then it has been read for nothing.
      await withClient(appliers.to, SESSION, async (service) => {
        for (const table of owners)
          for (const key of letter.keys)
            await service.query(
              'INSERT INTO banyan.reread (flow, source_table, key) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING',
              [`${capability}:to`, table, key],
            );
      });
      return owners.length > 0;
    }),
  );
}

/** The tables of the monolith that a table of the service goes back into. */
function ownersOf(tables: readonly TableMap[], label: string): string[] {
  const labelOf = (name: string): string => formatTable(parseTableName(name));
  return tables.flatMap(({ monolith, service }) =>
    service.some((name) => labelOf(name) === label) ? monolith.map(labelOf) : [],
  );
}

/**
 * Gives all parked changes up and has their rows read again at the source as they are now. Only what
 * the source owns can be read so: throws nothing, and leaves the letters of a guest's flow alone.
 */
export async function rereadLetters(capability: string, appliers: Appliers): Promise<number> {
  const counts = await everywhere(appliers, async (client, direction) => {
    const { rows } = await client.query<{ n: number }>(
      `WITH given_up AS (
         DELETE FROM banyan.parked WHERE flow = $1 AND mode IN ('owner', 'sharing owner') RETURNING source_table, keys),
       listed AS (
         INSERT INTO banyan.reread (flow, source_table, key)
         SELECT DISTINCT $1, source_table, ARRAY(SELECT jsonb_array_elements_text(one))
           FROM given_up, jsonb_array_elements(keys) AS one
         ON CONFLICT DO NOTHING)
       SELECT count(*)::int AS n FROM given_up`,
      [`${capability}:${direction}`],
    );
    return [rows[0]?.n ?? 0];
  });
  return counts.reduce((sum, count) => sum + count, 0);
}

const SESSION = { applicationName: 'banyan-cli' };

interface LetterRow {
  id: string;
  source_table: string;
  keys: string[][];
  change: StoredChange;
  error: string | null;
  attempts: number;
  position: string;
  committed_at: Date;
  parked_at: Date;
}

async function everywhere<T>(
  appliers: Appliers,
  work: (client: pg.Client, direction: Direction) => Promise<T[]>,
): Promise<T[]> {
  const all: T[] = [];
  for (const direction of DIRECTIONS)
    all.push(
      ...(await withClient(appliers[direction], SESSION, async (client) =>
        (await scalar(client, `SELECT to_regclass('banyan.parked') IS NOT NULL`)) === 'true'
          ? work(client, direction)
          : [],
      )),
    );
  return all;
}
