// What a relay does while the slot is its own: it finds where the topics end, then reads, writes and
// confirms. What the slot confirms, a record of the topic says is there, also of WAL that has nothing
// for us: so the next relay sees by the topics' end whether they have all that was confirmed.
import type pg from 'pg';
import type { KafkaRecord, Producer } from '../../core/kafka/client.ts';
import { sleep } from '../../core/lifecycle.ts';
import type { Logger } from '../../core/log.ts';
import { formatLsn, type Lsn, type Position } from '../../core/postgres/lsn.ts';
import type { RelayNames } from '../../control/domain/names.ts';
import type { RelayProgress } from '../../control/relay-reports.ts';
import { allOrNone } from '../all-or-none.ts';
import type { Piece } from '../domain/change.ts';
import type { ChainEnd, Footing } from '../domain/debezium/chain.ts';
import { formatChain, type Ending, type ReportedChain, type Settles } from '../domain/footing.ts';
import { LagWindow } from '../domain/lag.ts';
import type { SlotChangeLog } from '../slot-log.ts';
import { findFooting, type Watch } from './footing.ts';
import { Outlet, type Sent, type Written } from './outlet.ts';

/** How changes are written down for Kafka. */
export interface Script {
  /** Rows of an outbox that could not be events, so far. */
  readonly letters: number;
  /** What the next transaction would say of what it comes behind; undefined where nobody knows. */
  readonly chain?: ChainEnd | undefined;
  /** The records of the next piece of the log, in order; what it sends by itself must not overtake what waits. */
  write(piece: Piece, isWritten: IsWritten): Promise<readonly KafkaRecord[]>;
  /**
   * What is said every few seconds, whatever else is; nothing where the layout has no such thing. With
   * `idle`, that all is written up to there: the next relay rests on it.
   */
  beat(idle: Lsn | undefined): readonly KafkaRecord[];
}

/** Waits until all that was given before is with the brokers; false where it will not be. */
export type IsWritten = () => Promise<boolean>;

export interface WorkOptions {
  /** Login that reads the slot. */
  readonly url: string;
  /** How far the topics go, as far as anybody knows; its timeline and commit LSN. */
  readonly before: Position | undefined;
  readonly chain?: ReportedChain | undefined;
  /** What the topics end with, from as far back as is needed; undefined when the signal aborts. */
  readonly end: (isSettled: Settles, signal: AbortSignal) => Promise<Ending | undefined>;
  readonly script: (source: pg.Client, timeline: number, footing: Footing) => Promise<Script>;
  /** Called when the stream begins. */
  readonly onRunning: () => void;
  readonly report: (progress: RelayProgress) => Promise<void>;
  readonly log: Logger;
  /** Bytes on their way to the brokers before the stream has to wait. */
  readonly limitBytes?: number;
}

/** What the relay has opened. */
export interface Opened extends RelayNames {
  readonly log: SlotChangeLog;
  readonly producer: Producer;
  /** A session at the source. */
  readonly client: pg.Client;
}

const REPORT_MS = 1_000;
const BEAT_MS = 10_000;
/** How often WAL that has nothing for us is noted, and then confirmed. */
const IDLE_MS = 1_000;

export class RelayWork {
  readonly #options: WorkOptions;
  readonly #producer: Producer;
  readonly #client: pg.Client;
  readonly #names: RelayNames;
  readonly #log: SlotChangeLog;
  readonly #lag = new LagWindow();
  #position: string | undefined;
  #written = 0;
  #bytes = 0;
  /** When the last transaction that the brokers have was committed. */
  #newestMs: number | undefined;
  /** Nothing that was read is being encoded. */
  #waits = false;
  #confirmed: Lsn = 0n;

  constructor(options: WorkOptions, { log, producer, client, ...names }: Opened) {
    this.#options = options;
    this.#log = log;
    this.#producer = producer;
    this.#client = client;
    this.#names = names;
  }

  async run(stop: AbortController): Promise<void> {
    const { signal } = stop;
    const { limitBytes, url, before, chain, end, script: begin, onRunning } = this.#options;
    const found = await findFooting({
      ...{ url, before, chain, client: this.#client, ...this.#names },
      end: (isSettled) => end(isSettled, signal),
    });
    if (!found || signal.aborted) return;
    const { footing, watch } = found;
    const script = await begin(this.#client, this.#log.timeline, footing);
    const outlet = new Outlet({
      producer: this.#producer,
      onWritten: (sent) => {
        this.#note(sent);
      },
      ...(limitBytes !== undefined && { limitBytes }),
    });
    onRunning();
    try {
      await allOrNone(stop, [
        outlet.run(signal),
        this.#stream(script, outlet, watch, signal),
        this.#beat(script, outlet, watch, signal),
        this.#reports(script, outlet, signal),
      ]);
    } finally {
      // The next one may find nothing else to go on from.
      await this.#report(script, outlet);
    }
  }

  async #stream(script: Script, outlet: Outlet, watch: Watch, signal: AbortSignal): Promise<void> {
    const isWritten: IsWritten = async () => {
      await outlet.emptied();
      return outlet.empty;
    };
    while (!signal.aborted) {
      this.#waits = true;
      const pieces = await this.#log.read(signal);
      this.#waits = false;
      for (const piece of pieces) {
        if (piece.size > 0) watch.sees(piece.head.commitLsn);
        const records = await script.write(piece, isWritten).catch(async (error: unknown) => {
          // Where the relay stands before a piece, all that lies before it is written and confirmed.
          await outlet.emptied();
          throw error;
        });
        await outlet.give({ records, through: throughOf(piece) });
      }
    }
  }

  async #beat(script: Script, outlet: Outlet, watch: Watch, signal: AbortSignal): Promise<void> {
    let beaten: number | undefined;
    while (!signal.aborted) {
      // What waits would come behind a record that says that it is there.
      const { idleLsn } = this.#log;
      const isIdle = this.#waits && outlet.empty && idleLsn > 0n && watch.idles(idleLsn);
      const idle = isIdle ? idleLsn : undefined;
      const now = performance.now();
      const isDue = beaten === undefined || now - beaten >= BEAT_MS;
      if (isDue) beaten = now;
      if (isDue || (idle !== undefined && idle > this.#confirmed))
        await outlet.give({ records: script.beat(idle), through: undefined, idle });
      await sleep(IDLE_MS, signal);
    }
  }

  /** The one place that confirms anything to the source. */
  #note({ transactions, records, bytes, idle = 0n }: Sent): void {
    this.#written += records;
    this.#bytes += bytes;
    const last = transactions.at(-1);
    const through = last && last.endLsn > idle ? last.endLsn : idle;
    if (through > this.#confirmed) {
      this.#confirmed = through;
      this.#log.acknowledge(through);
    }
    if (!last) return;
    this.#position = `${this.#log.timeline}/${formatLsn(last.commitLsn)}/${last.seq}`;
    this.#newestMs = last.commitMs;
    const now = Date.now();
    for (const { commitMs } of transactions) this.#lag.add(now - commitMs);
  }

  async #reports(script: Script, outlet: Outlet, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#report(script, outlet);
      await sleep(REPORT_MS, signal);
    }
  }

  /** Without the control database the relay goes on; only its reports are missing. */
  async #report(script: Script, outlet: Outlet): Promise<void> {
    const progress = {
      position: this.#position,
      behindMs: this.#behindMs(outlet),
      lagP50Ms: this.#lag.percentile(0.5),
      lagP99Ms: this.#lag.percentile(0.99),
      written: this.#written,
      bytes: this.#bytes,
      letters: script.letters,
      confirmed: this.#confirmed > 0n ? formatLsn(this.#confirmed) : undefined,
      chain: this.#chain(script),
    };
    await this.#options.report(progress).catch((error: unknown) => {
      this.#options.log.warn('the relay could not be reported', { error: String(error) });
    });
  }

  /** What has been encoded is further than what is confirmed: the chain knows of all of that. */
  #chain({ chain }: Script): string | undefined {
    const confirmed = this.#confirmed;
    return chain && confirmed > 0n ? formatChain({ ...chain, confirmed }) : undefined;
  }

  #behindMs(outlet: Outlet): number | undefined {
    if (this.#waits && outlet.empty) return 0;
    return this.#newestMs === undefined ? undefined : Math.max(0, Date.now() - this.#newestMs);
  }
}

function throughOf(piece: Piece): Written | undefined {
  const { head, endLsn, firstSeq, size } = piece;
  if (endLsn === undefined) return undefined;
  const { commitLsn, commitMs } = head;
  return { commitLsn, commitMs, endLsn, seq: firstSeq + size - 1 };
}
