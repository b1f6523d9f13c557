// The journal of switches, step by step, in the control database: what another coordinator needs to
// undo or finish a switch whose own one died.
import type { Knex } from 'knex';
import type { Phase } from './domain/phase.ts';

export type SwitchStatus = 'running' | 'flipped' | 'done' | 'undone';

export interface SwitchRecord {
  readonly id: number;
  readonly capability: string;
  readonly from: Phase;
  readonly to: Phase;
  readonly weight: number;
  /** Whether a write canary is open once it has flipped. */
  readonly shared: boolean;
  readonly status: SwitchStatus;
}

export interface NewSwitch extends Pick<
  SwitchRecord,
  'capability' | 'from' | 'to' | 'weight' | 'shared'
> {
  /** The journal's line that it begins with. */
  readonly journalId: number;
  /** Which settings the capability has (definition-version.ts). */
  readonly definition: string;
}

export interface SwitchStep {
  readonly step: string;
  readonly epoch: number;
  readonly at: string;
  readonly evidence: Readonly<Record<string, unknown>>;
}

interface Row {
  id: string;
  capability: string;
  from_phase: Phase;
  to_phase: Phase;
  weight: string;
  shared: boolean;
  status: SwitchStatus;
  journal_id: string | null;
  verify_id: string | null;
  definition: string | null;
}

export class SwitchLog {
  readonly #db: Knex;

  constructor(db: Knex) {
    this.#db = db;
  }

  /** `db`: the transaction that raises the epoch for it. */
  async begin(given: NewSwitch, db: Knex): Promise<SwitchRecord> {
    const verified = 'SELECT max(id) FROM banyan.verify_run WHERE capability = ?';
    const rows = await db<Row>('banyan.switch')
      .insert({
        capability: given.capability,
        from_phase: given.from,
        to_phase: given.to,
        weight: String(given.weight),
        shared: given.shared,
        status: 'running',
        journal_id: String(given.journalId),
        verify_id: db.raw(`(${verified})`, [given.capability]) as never,
        definition: given.definition,
      })
      .returning('*');
    return recordOf(rows[0] as Row);
  }

  /** Records a step that has been done. `db` lets the flip and its record be one commit. */
  async step(
    record: SwitchRecord,
    step: string,
    epoch: number,
    evidence: Record<string, unknown> = {},
    db: Knex = this.#db,
  ): Promise<void> {
    await db.raw(
      `INSERT INTO banyan.switch_step (switch_id, seq, step, epoch, evidence)
       SELECT ?, coalesce(max(seq), 0) + 1, ?, ?, ? FROM banyan.switch_step WHERE switch_id = ?`,
      [record.id, step, epoch, JSON.stringify(evidence), record.id],
    );
  }

  async setStatus(record: SwitchRecord, status: SwitchStatus, db: Knex = this.#db): Promise<void> {
    const ended = status === 'done' || status === 'undone';
    await db('banyan.switch')
      .where({ id: record.id })
      .update({ status, ...(ended && { ended_at: db.raw('clock_timestamp()') }) });
  }

  /** The switch of this capability that is neither done nor undone. */
  async open(capability: string): Promise<SwitchRecord | undefined> {
    const row = await this.#db<Row>('banyan.switch')
      .where({ capability })
      .whereIn('status', ['running', 'flipped'])
      .first();
    return row && recordOf(row);
  }

  /** Milliseconds since writers were held last; undefined where they never were. */
  async heldForMs({ id }: SwitchRecord): Promise<number | undefined> {
    const { rows } = await this.#db.raw<{ rows: { ms: string | null }[] }>(
      `SELECT extract(epoch FROM clock_timestamp() - max(at)) * 1000 AS ms
         FROM banyan.switch_step WHERE switch_id = ? AND step = 'held'`,
      [id],
    );
    const ms = rows[0]?.ms ?? null;
    return ms === null ? undefined : Number(ms);
  }

  async steps(record: SwitchRecord): Promise<SwitchStep[]> {
    const rows = await this.#db<{
      step: string;
      epoch: string;
      at: Date;
      evidence: Record<string, unknown>;
    }>('banyan.switch_step')
      .where('switch_id', record.id)
      .orderBy('seq');
    return rows.map((row) => ({
      step: row.step,
      epoch: Number(row.epoch),
      at: row.at.toISOString(),
      evidence: row.evidence,
    }));
  }
}

function recordOf(row: Row): SwitchRecord {
  return {
    id: Number(row.id),
    capability: row.capability,
    from: row.from_phase,
    to: row.to_phase,
    weight: Number(row.weight),
    shared: row.shared,
    status: row.status,
  };
}
