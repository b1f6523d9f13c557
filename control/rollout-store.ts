// Rollouts in the control database: one row per capability. Whoever writes says which revision he has
// read, so that a driver that was stopped and wakes up late writes nothing; a lease says whether the
// driver lives, so that another may take the rollout up. Every event is a line of the journal, and of
// the webhooks' queue, in the same transaction.
import type { Knex } from 'knex';
import type { WatchState } from './domain/answer-watch.ts';
import type { Phase } from './domain/phase.ts';
import type { Place } from './domain/rollout.ts';
import type { CapabilityState } from './domain/state.ts';
import { queueEvent } from './webhook-queue.ts';

/** `stuck`: it could not go back by itself; nothing happens before a human says so. */
export type RolloutStatus =
  'running' | 'paused' | 'stuck' | 'rolling back' | 'done' | 'rolled back' | 'aborted';

export interface RolloutRow extends Place {
  readonly capability: string;
  readonly status: RolloutStatus;
  readonly revision: number;
  readonly who: string;
  readonly why: string;
  readonly holder: string | null;
  /** The holder has been heard of within its lease. */
  readonly held: boolean;
  /** Of the capability's state when the step began. */
  readonly version: number;
  readonly beganAt: string;
  /** Since the step began, by the control database's clock. */
  readonly atMs: number;
  readonly nowMs: number;
  /** Where it is about to be put. */
  readonly going: Place | null;
  readonly attempts: number;
  readonly watch: WatchState | null;
}

export interface RolloutChange {
  readonly status?: RolloutStatus;
  readonly why?: string;
  readonly place?: Place;
  readonly version?: number;
  readonly going?: Place | null;
  readonly attempts?: number;
  readonly watch?: WatchState | null;
  /** The step begins now. */
  readonly anew?: boolean;
  /** A move that was announced and has not been made yet is refused from now on. */
  readonly stops?: boolean;
}

/** What the journal and the webhooks are told. */
export interface RolloutEvent {
  readonly event: string;
  readonly who: string;
  readonly why: string;
  readonly evidence?: Readonly<Record<string, unknown>>;
}

export const ROLLOUT_LEASE_MS = 5_000;

export class RolloutStore {
  readonly #db: Knex;
  /** The names of each capability's webhooks. */
  readonly #hooks: (capability: string) => readonly string[];

  constructor(db: Knex, hooks: (capability: string) => readonly string[]) {
    this.#db = db;
    this.#hooks = hooks;
  }

  async read(capability: string): Promise<RolloutRow | undefined> {
    const { rows } = await this.#db.raw<{ rows: Row[] }>(
      `SELECT *, lease_until > clock_timestamp() AS held,
              extract(epoch FROM clock_timestamp() - step_at) * 1000 AS at_ms,
              extract(epoch FROM clock_timestamp()) * 1000 AS now_ms
         FROM banyan.rollout WHERE capability = ?`,
      [capability],
    );
    return rows[0] && rolloutOf(rows[0]);
  }

  /** Begins one where none is under way; false where one is. */
  async begin(
    state: CapabilityState,
    { who, why }: Pick<RolloutEvent, 'who' | 'why'>,
  ): Promise<boolean> {
    return this.#db.transaction(async (db) => {
      const { rows } = await db.raw<{ rows: unknown[] }>(
        `INSERT INTO banyan.rollout AS r (capability, status, who, why, phase, weight, version)
         VALUES (?, 'running', ?, ?, ?, ?, ?) ON CONFLICT (capability) DO UPDATE SET
           status = 'running', revision = r.revision + 1, who = excluded.who, why = excluded.why,
           began_at = clock_timestamp(), holder = NULL, lease_until = '-infinity', phase = excluded.phase,
           weight = excluded.weight, version = excluded.version, step_at = clock_timestamp(),
           going = NULL, attempts = 0, watch = NULL
         WHERE r.status IN ('done', 'rolled back', 'aborted') RETURNING 1`,
        [state.capability, who, why, state.phase, state.weight, state.version],
      );
      if (rows.length === 0) return false;
      await this.#tell(db, state, { event: 'rollout started', who, why });
      return true;
    });
  }

  /** Takes a rollout whose driver is not heard of any more; false when somebody was faster. */
  async take(row: RolloutRow, holder: string): Promise<boolean> {
    return this.#db.transaction(async (db) => {
      const { rows } = await db.raw<{ rows: unknown[] }>(
        `UPDATE banyan.rollout SET holder = ?, revision = revision + 1,
                lease_until = clock_timestamp() + make_interval(secs => ?)
          WHERE capability = ? AND revision = ? AND lease_until < clock_timestamp() RETURNING 1`,
        [holder, ROLLOUT_LEASE_MS / 1_000, row.capability, row.revision],
      );
      if (rows.length === 0) return false;
      // Who held it may only stand still, with a move on its lips.
      if (row.holder !== null) await outdate(db, row.capability);
      return true;
    });
  }

  /** Says that the holder lives; false when another has it. */
  async renew(capability: string, holder: string): Promise<boolean> {
    const { rows } = await this.#db.raw<{ rows: unknown[] }>(
      `UPDATE banyan.rollout SET lease_until = clock_timestamp() + make_interval(secs => ?)
        WHERE capability = ? AND holder = ? RETURNING 1`,
      [ROLLOUT_LEASE_MS / 1_000, capability, holder],
    );
    return rows.length > 0;
  }

  /** Nobody need wait for this holder's lease. */
  async release(capability: string, holder: string): Promise<void> {
    await this.#db('banyan.rollout')
      .where({ capability, holder })
      .update({ holder: null, lease_until: '-infinity' });
  }

  /** Changes the row that was read, and tells of it; false when it has changed since. */
  async change(row: RolloutRow, change: RolloutChange, event?: RolloutEvent): Promise<boolean> {
    const { status, why, place, version, going, attempts, watch, anew, stops } = change;
    return this.#db.transaction(async (db) => {
      const changed = await db<{ capability: string; revision: string }>('banyan.rollout')
        .where({ capability: row.capability, revision: String(row.revision) })
        .update({
          revision: db.raw('revision + 1'),
          ...(status !== undefined && { status }),
          ...(why !== undefined && { why }),
          ...(place && { phase: place.phase, weight: place.weight }),
          ...(version !== undefined && { version }),
          ...(going !== undefined && { going: going && JSON.stringify(going) }),
          ...(attempts !== undefined && { attempts }),
          ...(watch !== undefined && { watch: watch && JSON.stringify(watch) }),
          ...(anew && { step_at: db.raw('clock_timestamp()') }),
        } as never);
      if (changed === 0) return false;
      if (stops) await outdate(db, row.capability);
      if (event) await this.#tell(db, { ...row, ...place }, event);
      return true;
    });
  }

  /** Tells of what changes nothing here. */
  tell(row: RolloutRow, event: RolloutEvent): Promise<void> {
    return this.#db.transaction((db) => this.#tell(db, row, event));
  }

  async #tell(
    db: Knex.Transaction,
    { capability, phase, weight }: Place & { capability: string },
    { event, who, why, evidence = {} }: RolloutEvent,
  ): Promise<void> {
    const [line] = await db<{ id: string }>('banyan.journal')
      .insert({
        ...{ capability, who, event, why, from_phase: phase, to_phase: phase },
        evidence: JSON.stringify({ ...evidence, weight }),
      } as never)
      .returning('id');
    if (line) await queueEvent(db, line.id, capability, this.#hooks(capability));
  }
}

/**
 * Raises the version that moves are decided on, so that one decided before is refused however late it comes.
 * A switch that holds writes already is let finish or be undone by its own rules.
 */
async function outdate(db: Knex.Transaction, capability: string): Promise<void> {
  await db.raw(
    `INSERT INTO banyan.capability AS c (capability, version) VALUES (?, 1)
     ON CONFLICT (capability) DO UPDATE SET version = c.version + 1 WHERE NOT c.holding`,
    [capability],
  );
}

interface Row {
  capability: string;
  status: RolloutStatus;
  revision: string;
  who: string;
  why: string;
  began_at: Date;
  holder: string | null;
  held: boolean;
  phase: Phase;
  weight: string;
  version: string;
  at_ms: string;
  now_ms: string;
  going: Place | null;
  attempts: number;
  watch: WatchState | null;
}

function rolloutOf(row: Row): RolloutRow {
  const { capability, status, who, why, holder, held, phase, going, attempts, watch } = row;
  return {
    ...{ capability, status, who, why, holder, held, phase, going, attempts, watch },
    revision: Number(row.revision),
    weight: Number(row.weight),
    version: Number(row.version),
    beganAt: row.began_at.toISOString(),
    atMs: Number(row.at_ms),
    nowMs: Number(row.now_ms),
  };
}
