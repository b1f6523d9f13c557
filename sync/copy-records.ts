// What a target keeps of a copy, in Banyan's own tables there: how far each table is, which rows must
// be read again at the source, which parts wait for the row that drives them. Written inside the
// applier's transaction.
import type pg from 'pg';
import type { Chunk } from './chunk.ts';

/**
 * A table is first pruned of rows that the source does not have, then copied. Stream events count
 * from its first low mark on: what was committed before is in the chunks. Only that a row is gone is
 * in no chunk, and counts from the beginning.
 */
export type Stage = 'prune' | 'copy' | 'done';

export interface RowName {
  readonly table: string;
  readonly key: readonly string[];
}

/** A query that gives `source_table` and `key`. */
export interface RowQuery {
  readonly text: string;
  readonly values?: readonly string[];
}

interface TableRecord {
  readonly table: string;
  readonly stage: Stage;
  readonly cursor: readonly string[] | null;
  readonly rows: number;
}

export class CopyRecords {
  readonly #flow: string;

  constructor(flow: string) {
    this.#flow = flow;
  }

  /** What an earlier process has done; `first` is the stage of a table that has not begun. */
  async tables(
    client: pg.Client,
    tables: readonly string[],
    first: Stage,
  ): Promise<readonly TableRecord[]> {
    await client.query(
      `INSERT INTO banyan.backfill (flow, source_table, stage)
       SELECT $1, source_table, $3 FROM unnest($2::text[]) AS source_table ON CONFLICT DO NOTHING`,
      [this.#flow, tables, first],
    );
    const { rows } = await client.query<{
      source_table: string;
      stage: Stage;
      cursor: string[] | null;
      rows: string;
    }>('SELECT source_table, stage, cursor, rows FROM banyan.backfill WHERE flow = $1', [
      this.#flow,
    ]);
    return rows.map(({ source_table, stage, cursor, rows: count }) => ({
      table: source_table,
      stage,
      cursor,
      rows: Number(count),
    }));
  }

  /** Has all tables copied again, from the stage of a copy that this flow may begin at. */
  async again(client: pg.Client, stage: Stage): Promise<void> {
    const { rows } = await client.query<{ source_table: string }>(
      `UPDATE banyan.backfill SET cursor = NULL, rows = 0, stage = CASE stage WHEN 'prune' THEN stage ELSE $2 END
        WHERE flow = $1 RETURNING source_table`,
      [this.#flow, stage],
    );
    await dropLetters(
      client,
      this.#flow,
      rows.map((row) => row.source_table),
    );
  }

  /** Whether a row is listed to be read again. */
  async rereads(client: pg.Client): Promise<boolean> {
    const { rows } = await client.query('SELECT 1 FROM banyan.reread WHERE flow = $1 LIMIT 1', [
      this.#flow,
    ]);
    return rows.length > 0;
  }

  /** Parts whose driver is not there. */
  async awaited(client: pg.Client): Promise<readonly RowName[]> {
    const { rows } = await client.query<{ source_table: string; key: string[] }>(
      'SELECT source_table, key FROM banyan.orphan WHERE flow = $1',
      [this.#flow],
    );
    return rows.map(({ source_table, key }) => ({ table: source_table, key }));
  }

  /** The progress that a chunk makes. */
  async record(client: pg.Client, { table, size, progress }: Chunk): Promise<void> {
    if (progress.kind === 'copy')
      await client.query(
        `UPDATE banyan.backfill SET stage = $3, cursor = $4, rows = rows + $5 WHERE flow = $1 AND source_table = $2`,
        [this.#flow, table, progress.last ? 'done' : 'copy', progress.cursor, size],
      );
    else
      await client.query(
        `WITH resolved AS (SELECT value FROM jsonb_array_elements($3::jsonb)),
              found AS (DELETE FROM banyan.orphan WHERE flow = $1 AND source_table = $2
                          AND to_jsonb(key) IN (TABLE resolved) AND to_jsonb(key) NOT IN (SELECT value FROM jsonb_array_elements($4::jsonb))),
              waits AS (INSERT INTO banyan.orphan
                        SELECT $1, $2, ARRAY(SELECT jsonb_array_elements_text(value)) FROM jsonb_array_elements($4::jsonb)
                        ON CONFLICT DO NOTHING)
         DELETE FROM banyan.reread WHERE flow = $1 AND source_table = $2 AND to_jsonb(key) IN (TABLE resolved)`,
        [this.#flow, table, JSON.stringify(progress.resolved), JSON.stringify(progress.awaited)],
      );
  }

  /** Lists rows to be read again. */
  async list(client: pg.Client, rows: readonly RowName[]): Promise<void> {
    await client.query(
      `INSERT INTO banyan.reread (flow, source_table, key)
       SELECT $1, row ->> 'table', ARRAY(SELECT jsonb_array_elements_text(row -> 'key'))
         FROM jsonb_array_elements($2::jsonb) AS row ON CONFLICT DO NOTHING`,
      [this.#flow, JSON.stringify(rows.map(({ table, key }) => ({ table, key })))],
    );
  }

  /** The same for all that a query gives, as `source_table` and `key`; tells whether there were any. */
  async listAll(client: pg.Client, { text, values = [] }: RowQuery): Promise<boolean> {
    const { rowCount } = await client.query(
      `INSERT INTO banyan.reread (flow, source_table, key)
       SELECT $${values.length + 1}, source_table, key FROM (${text}) AS k ON CONFLICT DO NOTHING`,
      [...values, this.#flow],
    );
    return (rowCount ?? 0) > 0;
  }
}

/**
 * Forgets what is parked of tables that are copied again: what led to their rows as they are now was not all
 * in the stream, so the copy alone knows them. What the owner is still to judge is no copy's to bring.
 */
export async function dropLetters(
  client: pg.Client,
  flow: string,
  tables: readonly string[],
): Promise<void> {
  await client.query(
    `DELETE FROM banyan.parked WHERE flow = $1 AND source_table = ANY ($2) AND mode <> 'sharing guest'`,
    [flow, tables],
  );
}
