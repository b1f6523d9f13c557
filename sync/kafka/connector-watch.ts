// What a flow that reads a connector's topics asks at the source beside them: how far the connector has
// confirmed its slot, who owned what from where on, whether a way back writes there, which timeline it is.
import type pg from 'pg';
import { BanyanError } from '../../core/errors.ts';
import { connect } from '../../core/postgres/connect.ts';
import { parseLsn, type Lsn } from '../../core/postgres/lsn.ts';
import { disconnect } from '../../core/postgres/silence.ts';
import { MESSAGE_PREFIX } from '../../control/domain/names.ts';
import { Mutex } from '../mutex.ts';

export interface WatchOptions {
  /** Login that may write messages, and one that sees what the coordinator notes. */
  readonly url: string;
  readonly watchUrl: string;
  readonly capability: string;
  readonly slot: string;
  /** Under which sync back writes there. */
  readonly backOrigin: string;
}

export interface OwnershipNote {
  readonly epoch: number;
  readonly lsn: Lsn;
  readonly message: string;
}

export interface Look {
  readonly timeline: number;
  /** After the epoch that was asked for, in order. */
  readonly changes: readonly OwnershipNote[];
  readonly writesBack: boolean;
}

const LOOK = `
SELECT ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int AS timeline,
       EXISTS (SELECT 1 FROM pg_replication_origin WHERE roname = $3) AS back,
       coalesce((SELECT json_agg(json_build_object('epoch', epoch, 'lsn', lsn, 'message', message) ORDER BY lsn)
                   FROM banyan.ownership_change WHERE capability = $1 AND epoch > $2), '[]') AS changes`;

export class ConnectorWatch {
  readonly #options: WatchOptions;
  readonly #reader: pg.Client;
  readonly #watcher: pg.Client;
  readonly #reading = new Mutex();
  readonly #watching = new Mutex();

  private constructor(options: WatchOptions, reader: pg.Client, watcher: pg.Client) {
    this.#options = options;
    this.#reader = reader;
    this.#watcher = watcher;
  }

  static async open(options: WatchOptions): Promise<ConnectorWatch> {
    const applicationName = `banyan-connector-${options.capability}`;
    const reader = await connect(options.url, { applicationName });
    try {
      const watcher = await connect(options.watchUrl, { applicationName });
      return new ConnectorWatch(options, reader, watcher);
    } catch (error) {
      await disconnect(reader);
      throw error;
    }
  }

  /**
   * Whoever looks after a record has come sees every change of owner that lies before it: the fence holds
   * its locks until it is visible, and the record's change came after them.
   */
  async look(afterEpoch: number): Promise<Look> {
    const { capability, backOrigin } = this.#options;
    const { rows } = await this.#watching.run(() =>
      this.#watcher.query<{
        timeline: number;
        back: boolean;
        changes: { epoch: number; lsn: string; message: string }[];
      }>({
        name: 'banyan_connector_look',
        text: LOOK,
        values: [capability, afterEpoch, backOrigin],
      }),
    );
    const [found] = rows;
    return {
      timeline: found?.timeline ?? 0,
      changes: (found?.changes ?? []).map((one) => ({ ...one, lsn: parseLsn(one.lsn) })),
      writesBack: found?.back ?? false,
    };
  }

  /** A place in the WAL behind everything that has been committed; it gives the connector something to confirm. */
  async place(): Promise<Lsn> {
    const { rows } = await this.#reading.run(() =>
      this.#reader.query<{ lsn: string }>(
        'SELECT pg_logical_emit_message(true, $1, $2)::text AS lsn',
        [MESSAGE_PREFIX, ''],
      ),
    );
    return parseLsn(rows[0]?.lsn ?? '0/0');
  }

  /**
   * What was committed before it, the brokers have acknowledged. Throws SLOT_LOST: a connector that makes
   * its slot anew leaves out what was committed meanwhile, and nothing in its topics says so.
   */
  async confirmed(): Promise<Lsn> {
    const { rows } = await this.#reading.run(() =>
      this.#reader.query<{ lsn: string | null }>(
        'SELECT confirmed_flush_lsn::text AS lsn FROM pg_replication_slots WHERE slot_name = $1',
        [this.#options.slot],
      ),
    );
    const [found] = rows;
    if (!found)
      throw new BanyanError('SLOT_LOST', `the connector's slot ${this.#options.slot} is gone`, {
        hint: 'One that it makes anew begins later: roll the capability back to monolith and start its sync anew. Do not set slot.drop.on.stop in the connector.',
      });
    return parseLsn(found.lsn ?? '0/0');
  }

  async close(): Promise<void> {
    await disconnect(this.#reader);
    await disconnect(this.#watcher);
  }
}
