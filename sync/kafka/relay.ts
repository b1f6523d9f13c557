// One relay at work: a source's slot to Kafka, until its signal aborts or anything fails; then its
// supervisor (relay-process.ts) begins a new one from the slot.
//
// What a consumer may rest on, whatever happens to relays: in each partition, at a record with position
// q, every record of that partition with a lower position stands somewhere before it. So what comes for
// the first time comes in order and without a gap, and everything else is a duplicate that its position
// gives away. Why this holds, with any number of relays, stopped ones that wake up included:
//
//  1. A run is gapless. The outlet hands the producer one request after another, in the source's order,
//     and the producer writes nothing after one that failed (core/kafka/producer.ts). A request that
//     spans partitions may be there in some of them only: of each it is there whole or not at all.
//  2. A run begins where nothing is missing. It begins at what the slot has confirmed; a relay confirms
//     only what the brokers have acknowledged, so all before it is in the topics, and the server forgets
//     nothing after it.
//  3. So when a run writes q, all before q is there: what lies before the run's beginning by 2, the rest
//     by 1. This speaks of one run and of the past only. Other runs add records and take none away, be
//     it between any two of ours: a zombie that wakes up goes on with its own gapless run, and each of
//     its records either is a duplicate or is the next one that is missing.
//  4. A request that was given up and is written all the same, late, is older than what its relay sends
//     again; it is a duplicate.
//
// The same in both layouts: a table's partition is a part of the same sequence. Neither leases nor the
// producer's identity take part in this; the lease (turn.ts) only says how soon another one begins.
// Positions are compared on one timeline: where a promoted server has lost what was written from the one
// before, the relay does not go on (continued), and each flow looks for itself.
import type pg from 'pg';
import { BanyanError, isBanyanError } from '../../core/errors.ts';
import type { KafkaClient, KafkaRecord, Producer } from '../../core/kafka/client.ts';
import { sleep } from '../../core/lifecycle.ts';
import type { Logger } from '../../core/log.ts';
import { connect, withClient } from '../../core/postgres/connect.ts';
import { formatLsn, parseLsn, type Position } from '../../core/postgres/lsn.ts';
import { disconnect } from '../../core/postgres/silence.ts';
import { relayNames } from '../../control/domain/names.ts';
import type { RelayProgress } from '../../control/relay-reports.ts';
import type { RelayTerms } from '../../control/relay-terms.ts';
import { allOrNone } from '../all-or-none.ts';
import type { ChangeLog } from '../change-log.ts';
import type { Piece } from '../domain/change.ts';
import { LagWindow } from '../domain/lag.ts';
import { databaseOf } from '../schemas.ts';
import { openSlotLog } from '../slot-log.ts';
import { timelineFor } from '../slot.ts';
import { Outlet, type Written } from './outlet.ts';
import { awaitTurn, holdTerm, takeOver, type TurnOptions } from './turn.ts';

/** How changes are written down for Kafka. */
export interface Script {
  /** The records of the next piece of the log, in order. */
  write(piece: Piece): Promise<readonly KafkaRecord[]>;
  /** What is said every few seconds, whatever else is; nothing where the layout has no such thing. */
  beat(): readonly KafkaRecord[];
}

export interface RelayOptions {
  /** `monolith`, or the service whose database it is. */
  readonly source: string;
  /** Login that reads the slot. */
  readonly url: string;
  /** Tells this process from all others. */
  readonly holder: string;
  readonly kafka: Pick<KafkaClient, 'producer'>;
  readonly terms: RelayTerms;
  /** Sees to the topics; called before the slot is touched. */
  readonly prepare: () => Promise<void>;
  readonly script: (source: pg.Client, timeline: number) => Promise<Script>;
  /** How far the topics go, as far as anybody knows; its timeline and commit LSN. */
  readonly before: Position | undefined;
  readonly onStandby: () => Promise<void>;
  /** Called when the slot is ours and the stream begins. */
  readonly onRunning: () => void;
  readonly report: (progress: RelayProgress) => Promise<void>;
  readonly log: Logger;
  readonly silenceMs?: number | undefined;
  /** Bytes on their way to the brokers before the stream has to wait. */
  readonly limitBytes?: number;
}

const REPORT_MS = 1_000;
const BEAT_MS = 10_000;
/** How long the session of a relay that was taken over may take to go. */
const HANDOVER_MS = 5_000;
const HANDOVER_LOOK_MS = 100;
/** Changes that are encoded in one go: the brokers' answers are heard in between. */
const PIECE_CHANGES = 1_000;

/**
 * Runs until the signal aborts. Rejects with SLOT_LOST, FLOW_STOPPED, APPLIER_REPLACED, KAFKA_… or a
 * connection's error; a new run may go on after any of them but the first two.
 */
export async function runRelay(options: RelayOptions, signal: AbortSignal): Promise<void> {
  const stop = new AbortController();
  const closers: (() => Promise<unknown>)[] = [];
  const onAbort = (): void => {
    stop.abort();
  };
  signal.addEventListener('abort', onAbort);
  if (signal.aborted) stop.abort();
  try {
    await new Relay(options, closers).run(stop);
  } finally {
    signal.removeEventListener('abort', onAbort);
    stop.abort();
    for (const close of closers.reverse()) await close().catch(() => undefined);
  }
}

class Relay {
  readonly #options: RelayOptions;
  readonly #closers: (() => Promise<unknown>)[];
  readonly #lag = new LagWindow();
  #position: string | undefined;
  #written = 0;
  /** When the last transaction that the brokers have was committed. */
  #newestMs: number | undefined;
  /** Nothing that was read is being encoded. */
  #waits = false;

  constructor(options: RelayOptions, closers: (() => Promise<unknown>)[]) {
    this.#options = options;
    this.#closers = closers;
  }

  async run(stop: AbortController): Promise<void> {
    const { signal } = stop;
    const { source, url, silenceMs } = this.#options;
    const client = await connect(url, { applicationName: `banyan-relay-${source}`, silenceMs });
    this.#closers.push(() => disconnect(client));
    const names = relayNames(await databaseOf(client));
    const turn: TurnOptions = { ...this.#options, slot: names.slot, client };
    let producer: Producer | undefined;
    for (;;) {
      const standstill = await awaitTurn(turn, signal);
      if (standstill === 'over') return;
      // Kafka first: a slot that could not be used is not taken from anybody.
      producer ??= await this.#producer();
      if (standstill !== 'free' && !(await takeOver(turn, standstill))) continue;
      const log = await this.#slotLog(names, standstill === 'free' ? 0 : HANDOVER_MS);
      if (!log) continue;
      this.#closers.push(() => log.close());
      return this.#work({ log, producer, client, turn }, stop);
    }
  }

  async #work(
    {
      log,
      producer,
      client,
      turn,
    }: { log: ChangeLog; producer: Producer; client: pg.Client; turn: TurnOptions },
    stop: AbortController,
  ): Promise<void> {
    const { signal } = stop;
    const script = await this.#options.script(client, log.timeline);
    const { limitBytes } = this.#options;
    const outlet = new Outlet({
      producer,
      onWritten: (transactions, records) => {
        this.#note(log, transactions, records);
      },
      ...(limitBytes !== undefined && { limitBytes }),
    });
    this.#options.onRunning();
    await allOrNone(stop, [
      outlet.run(signal),
      this.#stream(log, script, outlet, signal),
      this.#beat(script, outlet, signal),
      holdTerm(turn, signal),
      this.#reports(outlet, signal),
    ]);
  }

  async #stream(
    log: ChangeLog,
    script: Script,
    outlet: Outlet,
    signal: AbortSignal,
  ): Promise<void> {
    while (!signal.aborted) {
      this.#waits = true;
      const pieces = await log.read(signal);
      this.#waits = false;
      for (const piece of pieces)
        await outlet.give({ records: await script.write(piece), through: throughOf(piece) });
    }
  }

  async #beat(script: Script, outlet: Outlet, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await outlet.give({ records: script.beat(), through: undefined });
      await sleep(BEAT_MS, signal);
    }
  }

  /** The one place that confirms anything to the source. */
  #note(log: ChangeLog, transactions: readonly Written[], records: number): void {
    this.#written += records;
    const last = transactions.at(-1);
    if (!last) return;
    log.acknowledge(last.endLsn);
    this.#position = `${log.timeline}/${formatLsn(last.commitLsn)}/${last.seq}`;
    this.#newestMs = last.commitMs;
    const now = Date.now();
    for (const { commitMs } of transactions) this.#lag.add(now - commitMs);
  }

  /** Without the control database the relay goes on; only its reports are missing. */
  async #reports(outlet: Outlet, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#options
        .report({
          position: this.#position,
          behindMs: this.#behindMs(outlet),
          lagP50Ms: this.#lag.percentile(0.5),
          lagP99Ms: this.#lag.percentile(0.99),
          written: this.#written,
        })
        .catch((error: unknown) => {
          this.#options.log.warn('the relay could not be reported', { error: String(error) });
        });
      await sleep(REPORT_MS, signal);
    }
  }

  #behindMs(outlet: Outlet): number | undefined {
    if (this.#waits && outlet.empty) return 0;
    return this.#newestMs === undefined ? undefined : Math.max(0, Date.now() - this.#newestMs);
  }

  async #producer(): Promise<Producer> {
    await this.#options.prepare();
    const producer = await this.#options.kafka.producer();
    this.#closers.push(() => producer.close());
    return producer;
  }

  /** Undefined when another relay was faster. */
  async #slotLog(
    names: { readonly slot: string; readonly publication: string },
    patienceMs: number,
  ): Promise<ChangeLog | undefined> {
    const { url, silenceMs, before } = this.#options;
    const timeline = await continued(url, names.slot, before);
    const deadline = performance.now() + patienceMs;
    for (;;)
      try {
        return await openSlotLog(
          { ...names, url, silenceMs, pieceLimit: PIECE_CHANGES, lsns: true },
          // The slot itself knows best where to begin.
          { timeline, commitLsn: 0n, seq: 0 },
        );
      } catch (error) {
        if (!isBanyanError(error, 'APPLIER_REPLACED')) throw error;
        if (performance.now() > deadline) return undefined;
        await sleep(HANDOVER_LOOK_MS);
      }
  }
}

/** The server's timeline. Throws FLOW_STOPPED when the topics have changes that the server does not have. */
async function continued(url: string, slot: string, before: Position | undefined): Promise<number> {
  return withClient(url, { applicationName: 'banyan-relay', replication: true }, async (client) => {
    const { rows } = await client.query<{ timeline: string; xlogpos: string }>('IDENTIFY_SYSTEM');
    const [system] = rows;
    if (!before) return Number(system?.timeline ?? 0);
    const timeline = await timelineFor(client, slot, before);
    if (timeline === before.timeline && before.commitLsn > parseLsn(system?.xlogpos ?? '0/0'))
      throw new BanyanError(
        'FLOW_STOPPED',
        `the topics go to ${formatLsn(before.commitLsn)}, which the source of slot ${slot} has not written yet`,
        {
          hint: 'Was it restored from a backup? Roll its capabilities back to monolith and start their sync anew.',
        },
      );
    return timeline;
  });
}

function throughOf(piece: Piece): Written | undefined {
  const { head, endLsn, firstSeq, size } = piece;
  if (endLsn === undefined) return undefined;
  const { commitLsn, commitMs } = head;
  return { commitLsn, commitMs, endLsn, seq: firstSeq + size - 1 };
}
