// Stops a coordinator exactly where a step has been done and is about to be journaled: a trigger of the
// test's on the journal of switches waits for a lock that the test holds. Nothing of ours knows of it.
import type { Knex } from 'knex';
import type pg from 'pg';
import { connect } from '../../../core/postgres/connect.ts';
import { waitFor } from '../../../core/lifecycle.ts';
import { SESSION } from '../pair.ts';

export const STEPS = [
  'checked',
  'held',
  'fenced',
  'drained',
  'sequences',
  'flipped',
  'unfenced',
  'released',
] as const;
export type Step = (typeof STEPS)[number];

const LOCK = 4_242;

export class Stops {
  readonly #db: Knex;
  readonly #gate: pg.Client;

  private constructor(db: Knex, gate: pg.Client) {
    this.#db = db;
    this.#gate = gate;
  }

  static async open(db: Knex, controlUrl: string): Promise<Stops> {
    await db.raw(`
      CREATE TABLE public.stop_at (step text NOT NULL);
      CREATE FUNCTION public.stop_here() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF EXISTS (SELECT 1 FROM public.stop_at WHERE step = NEW.step) THEN
          PERFORM pg_advisory_xact_lock_shared(${LOCK});
        END IF;
        RETURN NEW;
      END $$;
      CREATE TRIGGER stop_here BEFORE INSERT ON banyan.switch_step FOR EACH ROW EXECUTE FUNCTION public.stop_here()`);
    return new Stops(db, await connect(controlUrl, SESSION));
  }

  /** The next coordinator stops at this step. */
  async set(step: Step): Promise<void> {
    await this.#gate.query(`SELECT pg_advisory_lock(${LOCK})`);
    await this.#db('public.stop_at').insert({ step });
  }

  /** Waits until it stands there; those that come later pass. */
  async reached(isOver: () => boolean): Promise<void> {
    await waitFor(
      async () => {
        if (isOver()) throw new Error('the switch was over before it came there');
        const { rows } = await this.#db.raw<{ rows: unknown[] }>(
          `SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = ${LOCK} AND objsubid = 1 AND NOT granted
              AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
        );
        return rows.length > 0;
      },
      { timeoutMs: 100_000, everyMs: 10, what: 'the coordinator to come to the step' },
    );
    await this.#db('public.stop_at').delete();
  }

  /** Lets it go on. */
  async release(): Promise<void> {
    await this.#db('public.stop_at').delete();
    await this.#gate.query('SELECT pg_advisory_unlock_all()');
  }

  async close(): Promise<void> {
    await this.#gate.end();
  }
}
