// Facade replicas as the control database knows them. A replica registers and commits before it
// first reads the state, and the coordinator writes the state before it lists the replicas: none
// that could forward under the old state is missed.
import type { Knex } from 'knex';

/** A replica that has not been heard of for this long is left behind: the fence stops what it forwards. */
export const REPLICA_LEASE_MS = 5_000;

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

  async leave(id: string): Promise<void> {
    await this.#db('banyan.replica').where({ id }).delete();
  }

  /** Ids of the live replicas, and of those among them that have not acknowledged `version`. */
  async lagging(
    capability: string,
    version: number,
  ): Promise<{ live: string[]; lagging: string[] }> {
    const { rows } = await this.#db.raw<{ rows: { id: string; acknowledged: boolean }[] }>(
      `SELECT r.id, coalesce(a.version >= ?, false) AS acknowledged
         FROM banyan.replica r
         LEFT JOIN banyan.replica_ack a ON a.replica_id = r.id AND a.capability = ?
        WHERE r.heartbeat_at > clock_timestamp() - make_interval(secs => ?)`,
      [version, capability, REPLICA_LEASE_MS / 1000],
    );
    return {
      live: rows.map((row) => row.id),
      lagging: rows.filter((row) => !row.acknowledged).map((row) => row.id),
    };
  }
}
