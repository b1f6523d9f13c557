// What relays publish of themselves, for people and for the next one to start.
import type { Knex } from 'knex';

export type RelayStatus = 'starting' | 'running' | 'retrying' | 'stopped';

export interface RelayReport {
  readonly source: string;
  readonly status: RelayStatus;
  /** Who reports: host and process. */
  readonly holder: string;
  readonly errorCode: string | null;
  readonly error: string | null;
}

/** What a relay that runs says besides; of one that does not, what it last said stays. */
export interface RelayProgress {
  /** `timeline/commit LSN/seq` of the last transaction that the brokers have acknowledged. */
  readonly position: string | undefined;
  /** How old the newest commit is up to which all is with the brokers; 0 when nothing waits; undefined as long as nobody knows. */
  readonly behindMs: number | undefined;
  /** Source commit to the brokers' acknowledgement, milliseconds. */
  readonly lagP50Ms: number | null;
  readonly lagP99Ms: number | null;
  /** Records written in this run. */
  readonly written: number;
  /** About how many bytes they had. */
  readonly bytes: number;
  /** Rows of outboxes that went to the topic of dead letters. */
  readonly letters: number;
  /** LSN up to which the source was told that all is with the brokers; undefined before the first time. */
  readonly confirmed: string | undefined;
  /** What its next transaction comes behind, for the next relay; undefined where it does not know. It counts with `confirmed` only. */
  readonly chain: string | undefined;
}

export interface RelayLine extends RelayReport {
  readonly position: string | null;
  /** How long ago all that had been committed was with the brokers. */
  readonly behindMs: number | null;
  readonly lagP50Ms: number | null;
  readonly lagP99Ms: number | null;
  /** Over all runs, whichever process they were of, but for what a killed one had not reported; so are the two below. */
  readonly written: number;
  readonly bytes: number;
  readonly letters: number;
  readonly confirmed: string | null;
  readonly chain: string | null;
  /** WAL that is not with the brokers yet. */
  readonly behindBytes: number | null;
  /** WAL that the source keeps for the slot. */
  readonly retainedBytes: number | null;
  /** Whether another relay stands by. */
  readonly standby: boolean;
  /** LSN up to which its outbox's events are still to be sent, where no flow needs it any more. */
  readonly leaves: string | null;
  readonly reportAgeMs: number;
}

const STANDBY_MS = 5_000;
/** A lease that was renewed so lately is held: whoever stands by takes it over after as long (sync/kafka/turn.ts). */
const HELD_MS = 4_000;

export class RelayReports {
  readonly #db: Knex;

  constructor(db: Knex) {
    this.#db = db;
  }

  /** One that has been replaced, and wakes up late, says nothing of a relay that works. */
  async report(report: RelayReport, progress?: RelayProgress): Promise<void> {
    const row = {
      source: report.source,
      status: report.status,
      holder: report.holder,
      error_code: report.errorCode,
      error: report.error,
      updated_at: this.#db.raw('clock_timestamp()'),
      ...(progress && {
        ...(progress.position !== undefined && { position: progress.position }),
        ...(progress.behindMs !== undefined && {
          complete_at: this.#db.raw('clock_timestamp() - make_interval(secs => ?)', [
            progress.behindMs / 1_000,
          ]),
        }),
        lag_p50_ms: progress.lagP50Ms,
        lag_p99_ms: progress.lagP99Ms,
        written: progress.written,
        bytes: progress.bytes,
        letters: progress.letters,
        // Before that, what the last one has reported stands: the slot is where that one left it.
        ...(progress.confirmed !== undefined && {
          confirmed: progress.confirmed,
          chain: progress.chain ?? null,
        }),
      }),
    };
    await this.#db('banyan.relay')
      .insert(row)
      .onConflict('source')
      .merge()
      .whereRaw(
        `NOT EXISTS (
           SELECT 1 FROM (SELECT holder, released, renewed_at FROM banyan.relay_term WHERE source = ? ORDER BY term DESC LIMIT 1) latest
            WHERE holder <> ? AND NOT released
              AND renewed_at > clock_timestamp() - make_interval(secs => ?))`,
        [report.source, report.holder, HELD_MS / 1_000],
      );
  }

  /** What the source keeps for it; nothing where it has not reported yet. */
  async reportRetained(source: string, retained: number, behind: number): Promise<void> {
    await this.#db('banyan.relay')
      .where({ source })
      .update({ retained_bytes: retained, behind_bytes: behind });
  }

  async reportStandby(source: string): Promise<void> {
    await this.#db('banyan.relay')
      .where({ source })
      .update({ standby_at: this.#db.raw('clock_timestamp()') });
  }

  /** Also of one that has never run: somebody must be told that its slot is still there. */
  async reportLeaving(source: string, leaves: string): Promise<void> {
    await this.#db('banyan.relay')
      .insert({ source, status: 'stopped', leaves })
      .onConflict('source')
      .merge(['leaves']);
  }

  /** A flow needs it again. */
  async reportStaying(source: string): Promise<void> {
    await this.#db('banyan.relay')
      .where({ source })
      .whereNotNull('leaves')
      .update({ leaves: null });
  }

  async drop(source: string): Promise<void> {
    await this.#db('banyan.relay').where({ source }).delete();
  }

  async lines(): Promise<RelayLine[]> {
    const { rows } = await this.#db.raw<{ rows: Row[] }>(
      `SELECT *, extract(epoch FROM clock_timestamp() - updated_at) * 1000 AS report_age_ms,
              extract(epoch FROM clock_timestamp() - complete_at) * 1000 AS behind_ms,
              coalesce(standby_at > clock_timestamp() - make_interval(secs => ?), false) AS standby
         FROM banyan.relay ORDER BY source = 'monolith' DESC, source`,
      [STANDBY_MS / 1_000],
    );
    return rows.map((row) => ({
      source: row.source,
      status: row.status,
      holder: row.holder ?? '',
      errorCode: row.error_code,
      error: row.error,
      position: row.position,
      behindMs: numberOf(row.behind_ms),
      lagP50Ms: row.lag_p50_ms,
      lagP99Ms: row.lag_p99_ms,
      written: Number(row.written),
      bytes: Number(row.bytes),
      letters: Number(row.letters),
      confirmed: row.confirmed,
      chain: row.chain,
      behindBytes: numberOf(row.behind_bytes),
      retainedBytes: numberOf(row.retained_bytes),
      standby: row.standby,
      leaves: row.leaves,
      reportAgeMs: Number(row.report_age_ms),
    }));
  }
}

interface Row {
  source: string;
  status: RelayStatus;
  holder: string | null;
  error_code: string | null;
  error: string | null;
  position: string | null;
  behind_ms: string | null;
  lag_p50_ms: number | null;
  lag_p99_ms: number | null;
  written: string;
  bytes: string;
  letters: string;
  confirmed: string | null;
  chain: string | null;
  behind_bytes: string | null;
  retained_bytes: string | null;
  standby: boolean;
  leaves: string | null;
  report_age_ms: string;
}

function numberOf(text: string | null): number | null {
  return text === null ? null : Number(text);
}
