// Who works a source's slot: the lease of relays, kept as a journal in the control database. The slot
// itself lets one reader in; this is for the one whose process stands still while its session lives on.
// A term ends when a later one is there: its holder finds out at its next renewal, and lets go.
import type { Knex } from 'knex';

export interface Term {
  readonly term: number;
  readonly holder: string;
  /** Changes with each renewal; not to be compared with any clock but for equality. */
  readonly renewedAt: string;
  readonly released: boolean;
}

export class RelayTerms {
  readonly #db: Knex;

  constructor(db: Knex) {
    this.#db = db;
  }

  async latest(source: string): Promise<Term | undefined> {
    const { rows } = await this.#db.raw<{
      rows: { term: string; holder: string; renewed_at: string; released: boolean }[];
    }>(
      `SELECT term, holder, renewed_at::text, released FROM banyan.relay_term
        WHERE source = ? ORDER BY term DESC LIMIT 1`,
      [source],
    );
    const row = rows[0];
    return row && { ...row, term: Number(row.term), renewedAt: row.renewed_at };
  }

  /** Begins the term after the one that was seen, unless that was renewed since, or followed; gives its number. */
  async take(
    source: string,
    seen: Term | undefined,
    holder: string,
    why: string,
  ): Promise<number | undefined> {
    const term = (seen?.term ?? 0) + 1;
    const { rows } = await this.#db.raw<{ rows: unknown[] }>(
      `INSERT INTO banyan.relay_term (source, term, holder, why)
       SELECT ?, ?, ?, ? WHERE NOT EXISTS (
         SELECT 1 FROM banyan.relay_term WHERE source = ? AND term = ? AND renewed_at <> ?::timestamptz)
       ON CONFLICT DO NOTHING RETURNING term`,
      [source, term, holder, why, source, term - 1, seen?.renewedAt ?? 'epoch'],
    );
    return rows.length === 0 ? undefined : term;
  }

  /** False when a later term has begun. */
  async renew(source: string, term: number): Promise<boolean> {
    const { rows } = await this.#db.raw<{ rows: unknown[] }>(
      `UPDATE banyan.relay_term SET renewed_at = clock_timestamp(), released = false
        WHERE source = ? AND term = ?
          AND NOT EXISTS (SELECT 1 FROM banyan.relay_term later WHERE later.source = ? AND later.term > ?)
       RETURNING term`,
      [source, term, source, term],
    );
    return rows.length > 0;
  }

  /** Says that nobody need wait for this term's holder. */
  async release(source: string, term: number): Promise<void> {
    await this.#db('banyan.relay_term').where({ source, term }).update({ released: true });
  }
}
