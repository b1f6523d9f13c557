// The applier's session at the target. It writes under the flow's replication origin (which also
// keeps a second applier out) and moves the checkpoint by compare-and-swap in the same transaction
// as the data: each change has its effect exactly once, whoever dies when.
import type pg from 'pg';
import { BanyanError } from '../core/errors.ts';
import { connect, sqlState, transaction } from '../core/postgres/connect.ts';
import { disconnect } from '../core/postgres/silence.ts';
import { copyIn } from '../core/postgres/copy-in.ts';
import { formatTable, quoteLiteral, type TableName } from '../core/postgres/identifiers.ts';
import { formatLsn, parseLsn, type Lsn, type Position } from '../core/postgres/lsn.ts';
import { MESSAGE_PREFIX, type FlowNames } from '../control/domain/names.ts';
import type { Mode } from './domain/mapping.ts';
import { loadOffsets, saveOffsets, type Offsets } from './kafka/consume-offsets.ts';
import { isTransient } from './refusal.ts';
import type { Copy, Statement } from './domain/statements.ts';

/** A transaction of the source: where it lies, and when it committed there (Unix ms; 0 where nobody knows). */
export interface Committed {
  readonly commitLsn: Lsn;
  readonly commitMs: number;
}

export interface Checkpoint {
  readonly position: Position;
  /** What the source owned at this position. */
  readonly mode: Mode;
  /** Epoch of the last ownership message that was passed. */
  readonly barrier: number;
  /** Where the log goes on, where that is not the slot itself. */
  readonly offsets?: Offsets;
  /** What the slot was told at most that is durable; undefined where nobody has noted it yet. */
  readonly confirmed?: Lsn | undefined;
}

/** Below deadlock_timeout: in a deadlock it is the applier that gives way, never the application. */
const LOCK_TIMEOUT_MS = 400;

/** Batches that go by after a refused copy. */
const COPY_AGAIN = 50;

interface CheckpointRow {
  timeline: number;
  commit_lsn: string;
  seq: number;
  mode: Mode;
  barrier: string;
  confirmed: string | null;
}

/** What of a checkpoint is looked at. */
type Kept = 'position' | 'offsets';

export class Target {
  readonly client: pg.Client;
  readonly #names: FlowNames;
  readonly #prepared = new Map<string, string>();
  /** Tables by label: how many batches go by before a copy is tried again. */
  readonly #copyAgainIn = new Map<string, number>();

  private constructor(client: pg.Client, names: FlowNames) {
    this.client = client;
    this.#names = names;
  }

  /** Logs in, takes the flow's origin. Throws APPLIER_REPLACED while another session holds it. */
  static async open(url: string, names: FlowNames, silenceMs?: number): Promise<Target> {
    const applicationName = `banyan-apply-${names.flow}`;
    const client = await connect(url, { applicationName, silenceMs });
    try {
      await makeOrigin(client, names);
      await client.query('SELECT pg_replication_origin_session_setup($1)', [names.origin]);
      await client.query(`SET lock_timeout = ${LOCK_TIMEOUT_MS}`);
      // A statement over a few thousand rows is done before it is compiled.
      await client.query('SET jit = off');
      // What is acknowledged must be durable, whatever the server's default is.
      await client.query(
        `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`,
      );
      // What an earlier process has committed and not waited for is brought to the disk before its
      // checkpoint is read: what lies before that will be acknowledged.
      await client.query('SELECT pg_logical_emit_message(true, $1, $2)', [MESSAGE_PREFIX, '']);
      return new Target(client, names);
    } catch (error) {
      await disconnect(client);
      // 55006: the origin is active in another session.
      if (sqlState(error) !== '55006') throw error;
      throw new BanyanError(
        'APPLIER_REPLACED',
        `flow ${names.flow} is applied by another process`,
        {
          hint: 'Only one `banyan sync` works a flow at a time; end the other one or let it work.',
          cause: error,
        },
      );
    }
  }

  checkpoint(what: Kept = 'position'): Promise<Checkpoint> {
    return Target.checkpointOf(this.client, this.#names.flow, what);
  }

  /** With `offsets`, also where each partition of the log goes on. Throws FLOW_STOPPED where there is none. */
  static async checkpointOf(
    client: pg.Client,
    flow: string,
    what: Kept = 'position',
  ): Promise<Checkpoint> {
    const { rows } = await client.query<CheckpointRow>(
      'SELECT timeline, commit_lsn::text, seq, mode, barrier, confirmed::text FROM banyan.checkpoint WHERE flow = $1',
      [flow],
    );
    const row = rows[0];
    if (!row) throw withoutCheckpoint(flow);
    return {
      position: { timeline: row.timeline, commitLsn: parseLsn(row.commit_lsn), seq: row.seq },
      mode: row.mode,
      barrier: Number(row.barrier),
      confirmed: row.confirmed === null ? undefined : parseLsn(row.confirmed),
      ...(what === 'offsets' && { offsets: await loadOffsets(client, flow) }),
    };
  }

  /**
   * The checkpoint, good on another timeline by now. Written at once: an applier that still reads the
   * old server cannot commit any more.
   */
  async onTimeline(before: Checkpoint, timeline: number): Promise<Checkpoint> {
    if (before.position.timeline === timeline) return before;
    const after = { ...before, position: { ...before.position, timeline } };
    await transaction(this.client, () => this.advance(before, after));
    return after;
  }

  /** The checkpoint of a flow that begins, with where it does so, stored before anything is read. */
  async beginningAt(before: Checkpoint, offsets: Offsets | undefined): Promise<Checkpoint> {
    if (!offsets) return before;
    const after = { ...before, offsets };
    await transaction(this.client, () => this.advance(before, after));
    return after;
  }

  /** Moves the checkpoint from `before` to `after`. Throws APPLIER_REPLACED when it is not at `before`. */
  async advance(before: Checkpoint, after: Checkpoint): Promise<void> {
    const { rowCount } = await this.client.query({
      name: 'banyan_checkpoint',
      text: `UPDATE banyan.checkpoint SET timeline = $2, commit_lsn = $3, seq = $4, mode = $5, barrier = $6, confirmed = $10
              WHERE flow = $1 AND commit_lsn = $7 AND seq = $8 AND timeline = $9`,
      values: [
        this.#names.flow,
        after.position.timeline,
        formatLsn(after.position.commitLsn),
        after.position.seq,
        after.mode,
        after.barrier,
        formatLsn(before.position.commitLsn),
        before.position.seq,
        before.position.timeline,
        after.confirmed === undefined ? null : formatLsn(after.confirmed),
      ],
    });
    const moved = rowCount === 1 && (await this.#advanceOffsets(before, after));
    if (!moved)
      throw new BanyanError(
        'APPLIER_REPLACED',
        `the checkpoint of flow ${this.#names.flow} was moved by another applier`,
      );
  }

  /** Notes, durably, what the slot is told next. */
  async confirm(lsn: Lsn): Promise<void> {
    await this.client.query('UPDATE banyan.checkpoint SET confirmed = $2 WHERE flow = $1', [
      this.#names.flow,
      formatLsn(lsn),
    ]);
  }

  #advanceOffsets(before: Checkpoint, after: Checkpoint): Promise<boolean> {
    const { flow } = this.#names;
    return saveOffsets(this.client, flow, before.offsets ?? new Map(), after.offsets ?? new Map());
  }

  /**
   * Commits what is as old as this transaction of the source. A session under an origin has to say so
   * each time: left alone, the server dates every commit by the session's first one.
   */
  async commit({ commitLsn, commitMs }: Committed): Promise<void> {
    const dated =
      commitMs > 0
        ? `pg_replication_origin_xact_setup(${quoteLiteral(formatLsn(commitLsn))}, to_timestamp(${commitMs} / 1000.0))`
        : 'pg_replication_origin_xact_reset()';
    await this.client.query(`SELECT ${dated}; COMMIT`);
  }

  /**
   * Runs, inside a transaction, what writes one table; where its triggers are passed by, as a replica
   * does it. What fails is rolled back, and the session is as it was.
   */
  async into<T>(
    { skipsTriggers }: { readonly skipsTriggers: boolean },
    work: () => Promise<T>,
  ): Promise<T> {
    if (!skipsTriggers) return work();
    await this.client.query('SET LOCAL session_replication_role = replica');
    const done = await work();
    await this.client.query('SET LOCAL session_replication_role TO DEFAULT');
    return done;
  }

  /** Runs a statement; gives how many rows it wrote, and those it returned (keys as text). */
  async execute(
    statement: Statement,
  ): Promise<{ readonly count: number; readonly returned: Record<string, string>[] }> {
    const { rows, rowCount } = await this.client.query<Record<string, string>>({
      name: this.#nameOf(statement.text),
      text: statement.text,
      values: statement.values,
    });
    return { count: rowCount ?? 0, returned: rows };
  }

  /** Runs a statement on one row; gives whether there was one. */
  async one(text: string, values: readonly (string | null)[]): Promise<boolean> {
    const name = this.#nameOf(text);
    const { rowCount } = await this.client.query({ name, text, values: [...values] });
    return (rowCount ?? 0) > 0;
  }

  #nameOf(text: string): string {
    let name = this.#prepared.get(text);
    if (name === undefined) {
      name = `banyan_${this.#prepared.size}`;
      this.#prepared.set(text, name);
    }
    return name;
  }

  /** Whether a copy is worth a try: not soon after one was refused. */
  mayCopy(table: TableName): boolean {
    const label = formatTable(table);
    const left = this.#copyAgainIn.get(label) ?? 0;
    if (left > 0) this.#copyAgainIn.set(label, left - 1);
    return left === 0;
  }

  /** Copies rows in; false, and no effect, when the server refuses them. */
  async copy(table: TableName, { text, lines }: Copy): Promise<boolean> {
    try {
      // All at once: the server works while we go on.
      await copyIn(this.client, `SAVEPOINT copied; ${text}; RELEASE SAVEPOINT copied`, lines);
    } catch (error) {
      if (sqlState(error) === undefined || isTransient(error)) throw error;
      await this.client.query('ROLLBACK TO SAVEPOINT copied');
      this.#copyAgainIn.set(formatTable(table), COPY_AGAIN);
      return false;
    }
    return true;
  }

  async close(): Promise<void> {
    await disconnect(this.client);
  }
}

/** Not any more where the flow has just been removed: nobody would take its origin away. */
async function makeOrigin(client: pg.Client, { flow, origin }: FlowNames): Promise<void> {
  await transaction(client, async () => {
    // Whoever removes it waits for us, and finds what we have made.
    const { rows } = await client.query(
      'SELECT 1 FROM banyan.checkpoint WHERE flow = $1 FOR SHARE',
      [flow],
    );
    if (rows.length === 0) throw withoutCheckpoint(flow);
    await client.query(
      'SELECT pg_replication_origin_create($1) WHERE pg_replication_origin_oid($1) IS NULL',
      [origin],
    );
  });
}

function withoutCheckpoint(flow: string): BanyanError {
  return new BanyanError('FLOW_STOPPED', `flow ${flow} has no checkpoint at its target`, {
    hint: 'Roll the capability back to monolith and start its sync anew.',
  });
}
