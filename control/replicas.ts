// Facade replicas as the control database knows them. A replica registers and commits before it
// first reads the state, and the coordinator writes the state before it lists the replicas: none
// that could forward under the old state is missed.
import type { Knex } from 'knex';
import { sleep } from '../core/lifecycle.ts';
import type { Phase } from './domain/phase.ts';

/** A replica that has not been heard of for this long is left behind: the fence stops what it forwards. */
export const REPLICA_LEASE_MS = 5_000;
/** Replicas say that they are alive about every second. */
const OVERDUE_MS = 2_500;
const POLL_MS = 5;

/** Ids of the live replicas, and of those among them that stay silent. */
export interface Acknowledged {
  readonly live: readonly string[];
  readonly silent: readonly string[];
}

/** How a hold stands, by ids of replicas. */
export interface Held {
  /** In their lease, acknowledged or not. */
  readonly live: readonly string[];
  /** Alive, and time is up before they have acknowledged. */
  readonly busy: readonly string[];
  /** Went silent while writers were held, and their lease has run out. */
  readonly lapsed: readonly string[];
}

interface Standing {
  readonly id: string;
  readonly isLive: boolean;
  readonly isOverdue: boolean;
  readonly hasAcknowledged: boolean;
}

export class Replicas {
  readonly #db: Knex;

  constructor(db: Knex) {
    this.#db = db;
  }

  /** Registers, or says that the replica is alive. */
  async heartbeat(id: string): Promise<void> {
    await this.#db.raw(
      `INSERT INTO banyan.replica (id) VALUES (?)
       ON CONFLICT (id) DO UPDATE SET heartbeat_at = clock_timestamp()`,
      [id],
    );
  }

  /** Says: nothing that this replica accepted under a state older than `version` is still to be forwarded. */
  async acknowledge(id: string, capability: string, version: number): Promise<void> {
    await this.#db.raw(
      `INSERT INTO banyan.replica_ack (replica_id, capability, version) VALUES (?, ?, ?)
       ON CONFLICT (replica_id, capability) DO UPDATE
         SET version = greatest(replica_ack.version, excluded.version)`,
      [id, capability, version],
    );
  }

  /**
   * Takes an acknowledgement back, and then tells whether another replica has not acknowledged `version`
   * yet: in this order, so that a coordinator which sees the other's sees that ours is gone.
   */
  async withdraw(id: string, capability: string, version: number, other: string): Promise<boolean> {
    await this.#db.raw(
      'UPDATE banyan.replica_ack SET version = ? - 1 WHERE replica_id = ? AND capability = ? AND version >= ?',
      [version, id, capability, version],
    );
    const { live, silent } = await this.#acknowledged(capability, version);
    return live.includes(other) && silent.includes(other);
  }

  async leave(id: string): Promise<void> {
    await this.#db('banyan.replica').where({ id }).delete();
  }

  /**
   * Waits until each replica is either heard of or past its lease: one that has just died would keep
   * every held write waiting for its lease.
   */
  async steady(): Promise<void> {
    const deadline = performance.now() + REPLICA_LEASE_MS;
    await this.#db.raw(
      `DELETE FROM banyan.replica WHERE heartbeat_at < clock_timestamp() - interval '1 hour'`,
    );
    for (;;) {
      const { rows } = await this.#db.raw<{ rows: unknown[] }>(
        `SELECT 1 FROM banyan.replica WHERE heartbeat_at BETWEEN clock_timestamp() - make_interval(secs => ?)
            AND clock_timestamp() - make_interval(secs => ?) LIMIT 1`,
        [REPLICA_LEASE_MS / 1000, OVERDUE_MS / 1000],
      );
      if (rows.length === 0 || performance.now() > deadline) return;
      await sleep(POLL_MS);
    }
  }

  /**
   * Waits until every live replica has acknowledged `version`, at most `timeoutMs`; gives who has not.
   * `onFound` hears at each look of those that have.
   */
  async acknowledged(
    capability: string,
    version: number,
    timeoutMs: number,
    onFound?: (id: string) => void,
  ): Promise<Acknowledged> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const found = await this.#acknowledged(capability, version);
      if (onFound)
        found.live
          .filter((id) => !found.silent.includes(id))
          .forEach((id) => {
            onFound(id);
          });
      if (found.silent.length === 0 || performance.now() > deadline) return found;
      await sleep(POLL_MS);
    }
  }

  /**
   * Waits until each live replica has acknowledged `version`, or has fallen silent and its lease has run out.
   * One that goes on saying that it is alive has writes in flight: it is waited for `acknowledgeMs`; one that
   * is silent for `silentMs`. `heard` are those that have been live during this hold or one before it.
   */
  async held(
    capability: string,
    version: number,
    { acknowledgeMs, silentMs }: { readonly acknowledgeMs: number; readonly silentMs: number },
    heard: Set<string>,
  ): Promise<Held> {
    const began = performance.now();
    for (;;) {
      const found = await this.#standing(capability, version);
      for (const { id, isLive } of found) if (isLive) heard.add(id);
      const silent = found.filter(({ id, hasAcknowledged }) => !hasAcknowledged && heard.has(id));
      const due = silent.filter(({ isLive }) => isLive);
      const waitedMs = performance.now() - began;
      const busy = due.filter(({ isOverdue }) => waitedMs > (isOverdue ? silentMs : acknowledgeMs));
      if (due.length === 0 || busy.length > 0)
        return {
          live: found.filter(({ isLive }) => isLive).map(({ id }) => id),
          busy: busy.map(({ id }) => id),
          lapsed: silent.filter(({ isLive }) => !isLive).map(({ id }) => id),
        };
      await sleep(POLL_MS);
    }
  }

  /** Replicas that have not signed off, and whose lease has run out: nobody knows whether they still run. */
  async unheard(): Promise<string[]> {
    const { rows } = await this.#db.raw<{ rows: { id: string }[] }>(
      `SELECT id FROM banyan.replica
        WHERE heartbeat_at <= clock_timestamp() - make_interval(secs => ?) ORDER BY id`,
      [REPLICA_LEASE_MS / 1000],
    );
    return rows.map((row) => row.id);
  }

  /**
   * Those of them that may still send writes to the service: the capability has left one of `phases` since they
   * were heard of last. Whoever is cut off for more than an hour is gone.
   */
  async astray(
    capability: string,
    version: number,
    phases: readonly Phase[],
  ): Promise<readonly string[]> {
    const { rows } = await this.#db.raw<{ rows: { id: string }[] }>(
      `SELECT r.id FROM banyan.replica r
         LEFT JOIN banyan.replica_ack a ON a.replica_id = r.id AND a.capability = ?
        WHERE r.heartbeat_at BETWEEN clock_timestamp() - interval '1 hour'
                                 AND clock_timestamp() - make_interval(secs => ?)
          AND coalesce(a.version, 0) < ?
          AND EXISTS (SELECT FROM banyan.journal j WHERE j.capability = ? AND j.at > r.heartbeat_at
                         AND j.from_phase IN (${phases.map(() => '?').join(', ')})) ORDER BY r.id`,
      [capability, REPLICA_LEASE_MS / 1000, version, capability, ...phases],
    );
    return rows.map((row) => row.id);
  }

  async #acknowledged(capability: string, version: number): Promise<Acknowledged> {
    const live = (await this.#standing(capability, version)).filter(({ isLive }) => isLive);
    return {
      live: live.map(({ id }) => id),
      silent: live.filter(({ hasAcknowledged }) => !hasAcknowledged).map(({ id }) => id),
    };
  }

  async #standing(capability: string, version: number): Promise<Standing[]> {
    const { rows } = await this.#db.raw<{ rows: Standing[] }>(
      `SELECT r.id,
              r.heartbeat_at > clock_timestamp() - make_interval(secs => ?) AS "isLive",
              r.heartbeat_at < clock_timestamp() - make_interval(secs => ?) AS "isOverdue",
              coalesce(a.version >= ?, false) AS "hasAcknowledged"
         FROM banyan.replica r
         LEFT JOIN banyan.replica_ack a ON a.replica_id = r.id AND a.capability = ?`,
      [REPLICA_LEASE_MS / 1000, OVERDUE_MS / 1000, version, capability],
    );
    return rows;
  }
}
