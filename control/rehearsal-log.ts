// Rehearsals in the control database: the one under way, so that another coordinator can end it, and
// what those before it have told.
import type { Knex } from 'knex';
import type { Phase } from './domain/phase.ts';
import type { Rehearsal } from './domain/rehearsal.ts';

interface Row {
  id: string;
  capability: string;
  phase: Phase;
  who: string;
  why: string;
  status: 'running' | 'done' | 'failed';
}

export class RehearsalLog {
  readonly #db: Knex;

  constructor(db: Knex) {
    this.#db = db;
  }

  /** Within the transaction that raises the epoch: there is no hold that nobody knows of. */
  async begin(given: Pick<Row, 'capability' | 'phase' | 'who' | 'why'>, db: Knex): Promise<number> {
    const rows = await db<Row>('banyan.rehearsal')
      .insert({ ...given, status: 'running' })
      .returning('id');
    return Number(rows[0]?.id);
  }

  /** The one of this capability that has not ended. */
  async open(capability: string): Promise<number | undefined> {
    const row = await this.#db<Row>('banyan.rehearsal')
      .where({ capability, status: 'running' })
      .first();
    return row && Number(row.id);
  }

  /** Without a report it has failed. False when another has ended it already. */
  async end(id: number, report?: Rehearsal): Promise<boolean> {
    const ended = await this.#db('banyan.rehearsal')
      .where({ id, status: 'running' })
      .update({
        status: report ? 'done' : 'failed',
        ended_at: this.#db.raw('clock_timestamp()'),
        ...(report && { report: JSON.stringify(report) }),
      });
    return ended > 0;
  }
}
