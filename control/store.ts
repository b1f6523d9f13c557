// The control state: one row per capability, changed by compare-and-swap on its version together
// with a line in the journal, so that no move goes unrecorded and none overwrites another.
import knex, { type Knex } from 'knex';
import type pg from 'pg';
import { BanyanError, messageOf } from '../core/errors.ts';
import { clientConfig, describeUrl, sqlState, watch } from '../core/postgres/connect.ts';
import { quoteIdentifier } from '../core/postgres/identifiers.ts';
import { migrate } from '../core/postgres/migrate.ts';
import { initialState, type CapabilityState } from './domain/state.ts';
import type { Phase } from './domain/phase.ts';

/** A move as the journal keeps it. */
export interface JournalEntry {
  readonly who: string;
  readonly event: string;
  readonly why: string;
  readonly evidence: Readonly<Record<string, unknown>>;
}

export interface JournalLine extends JournalEntry {
  readonly id: number;
  readonly capability: string;
  readonly at: string;
  readonly from: Phase;
  readonly to: Phase;
}

/** Fields of a state that a move may change. */
export interface StateChange extends Partial<
  Pick<CapabilityState, 'phase' | 'weight' | 'shared' | 'holding' | 'epoch'>
> {
  /** The move builds in the databases from here on, until the next change. */
  readonly building?: boolean;
}

interface StateRow {
  capability: string;
  phase: Phase;
  weight: string;
  shared: boolean;
  holding: boolean;
  epoch: string;
  version: string;
}

interface JournalRow {
  id: string;
  capability: string;
  at: Date;
  who: string;
  event: string;
  from_phase: Phase;
  to_phase: Phase;
  why: string;
  evidence: Record<string, unknown>;
}

const SESSION = { applicationName: 'banyan-control', silenceMs: 20_000 };

const DURABLE = `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`;

/** A process that stands still in the middle of a transaction has locks that its successor needs. */
const NOT_IDLE = `SET idle_in_transaction_session_timeout = '5s'`;

/** Opens a pool on the control database. Connects lazily. */
export function openControl(url: string, poolSize = 4): Knex {
  return knex({
    client: 'pg',
    connection: clientConfig(url, SESSION) as Knex.PgConnectionConfig,
    pool: {
      ...{ min: 0, max: poolSize },
      afterCreate: (client: pg.Client, done: (error: Error | null, client: pg.Client) => void) => {
        watch(client, url, SESSION);
        // Who owns what is durable before anybody acts on it, whatever the server's default is.
        client.query(`${DURABLE}; ${NOT_IDLE}`).then(
          () => {
            done(null, client);
          },
          (error: unknown) => {
            done(error as Error, client);
          },
        );
      },
    },
    acquireConnectionTimeout: 10_000,
    // Failures reach the caller as errors; knex would also print them.
    log: { warn: nothing, error: nothing, deprecate: nothing, debug: nothing },
  });
}

function nothing(): void {
  return undefined;
}

/** Brings the control database's schema up to date. Throws PREFLIGHT_FAILED where its role may not. */
export async function migrateControl(url: string): Promise<void> {
  try {
    await migrate({ url, folder: 'control', direction: 'up', schema: 'banyan' });
  } catch (error) {
    if (sqlState(error) !== '42501') throw error;
    throw new BanyanError(
      'PREFLIGHT_FAILED',
      `the control database ${describeUrl(url)}: ${messageOf(error)}`,
      { hint: controlRights(url), cause: error },
    );
  }
}

/** How a role gets what it needs of the control database. */
export function controlRights(url: string): string {
  const { pathname, username } = new URL(url);
  const [role, database] = [username, pathname.slice(1)].map((part) =>
    quoteIdentifier(decodeURIComponent(part)),
  );
  return `banyan keeps its own state there, in the schema banyan, which every command's role for it must own. Make the database for it, CREATE DATABASE … OWNER ${role}, or GRANT CREATE ON DATABASE ${database} TO ${role}; where another role has made that schema, use that role, or GRANT it TO ${role}.`;
}

export class StateStore {
  readonly #db: Knex;

  constructor(db: Knex) {
    this.#db = db;
  }

  /** The states of the named capabilities; one that has no row yet is where it begins. */
  async read(capabilities: readonly string[]): Promise<Map<string, CapabilityState>> {
    const rows = await this.#db<StateRow>('banyan.capability').whereIn('capability', [
      ...capabilities,
    ]);
    const found = new Map(rows.map((row) => [row.capability, stateOf(row)]));
    return new Map(capabilities.map((one) => [one, found.get(one) ?? initialState(one)]));
  }

  async readOne(capability: string): Promise<CapabilityState> {
    return (await this.read([capability])).get(capability) ?? initialState(capability);
  }

  /**
   * The state once no change of it is under way any more. A commit whose answer was lost may still wait for
   * something, or be on its way: until it has ended nobody knows whether it counts, and a look sees the old state.
   */
  async settled(capability: string): Promise<CapabilityState> {
    const row = await this.#db.transaction((db) =>
      db<StateRow>('banyan.capability').where({ capability }).forNoKeyUpdate().first(),
    );
    return row ? stateOf(row) : initialState(capability);
  }

  /** Capabilities under way that are not among these: of another definition, or by a former name. */
  async othersThan(capabilities: readonly string[]): Promise<CapabilityState[]> {
    const rows = await this.#db<StateRow>('banyan.capability AS c')
      .whereNotIn('capability', [...capabilities])
      // One that is over has flows only where it leaves a copy.
      .whereRaw(
        `(phase NOT IN ('monolith', 'retired') OR building
          OR EXISTS (SELECT 1 FROM banyan.flow f WHERE f.capability = c.capability))`,
      )
      .orderBy('capability');
    return rows.map(stateOf);
  }

  /**
   * Changes a state, if it still has the version of `before`, and journals the change in the same
   * transaction. `within` runs inside that transaction, and is told the journal's line. Throws MOVE_IN_PROGRESS when it has moved on.
   */
  async change(
    before: CapabilityState,
    change: StateChange,
    entry: JournalEntry,
    within?: (db: Knex.Transaction, journalId: number) => Promise<void>,
  ): Promise<CapabilityState> {
    return this.#db.transaction(async (db) => {
      await db('banyan.capability')
        .insert({ capability: before.capability, version: 0 })
        .onConflict('capability')
        .ignore();
      const rows = await db<StateRow>('banyan.capability')
        .where({ capability: before.capability, version: String(before.version) })
        .update({
          ...change,
          building: change.building ?? false,
          version: db.raw('version + 1'),
          changed_at: db.raw('clock_timestamp()'),
        } as never)
        .returning('*');
      const row = rows[0];
      if (!row)
        throw new BanyanError(
          'MOVE_IN_PROGRESS',
          `capability "${before.capability}" was moved by somebody else meanwhile`,
          {
            hint: 'Look at `banyan status`, then decide again.',
          },
        );
      const after = stateOf(row);
      const [line] = await db<JournalRow>('banyan.journal')
        .insert({
          capability: before.capability,
          who: entry.who,
          event: entry.event,
          from_phase: before.phase,
          to_phase: after.phase,
          why: entry.why,
          evidence: JSON.stringify(entry.evidence) as never,
        })
        .returning('id');
      await within?.(db, Number(line?.id));
      return after;
    });
  }

  /** Whether a move has announced that it builds, and nothing has changed since. */
  async isBuilding(capability: string): Promise<boolean> {
    const row = await this.#db<{ capability: string; building: boolean }>('banyan.capability')
      .where({ capability })
      .first('building');
    return row?.building ?? false;
  }

  /** Every recorded move of a capability, oldest first. */
  async journal(capability: string): Promise<JournalLine[]> {
    const rows = await this.#db<JournalRow>('banyan.journal').where({ capability }).orderBy('id');
    return rows.map((row) => ({
      id: Number(row.id),
      capability: row.capability,
      at: row.at.toISOString(),
      who: row.who,
      event: row.event,
      from: row.from_phase,
      to: row.to_phase,
      why: row.why,
      evidence: row.evidence,
    }));
  }
}

function stateOf(row: StateRow): CapabilityState {
  return {
    capability: row.capability,
    phase: row.phase,
    weight: Number(row.weight),
    shared: row.shared,
    holding: row.holding,
    epoch: Number(row.epoch),
    version: Number(row.version),
  };
}
