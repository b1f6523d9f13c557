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
//     only what the brokers have acknowledged, and what a record says is there (relay-work.ts), so all
//     before it is in the topics, and the server forgets nothing after it. Where the topics' end says
//     otherwise, records were lost or the source was set back: no run begins (footing.ts).
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
// before, the relay does not go on, and each flow looks for itself.
import { isBanyanError } from '../../core/errors.ts';
import type { KafkaClient, Producer } from '../../core/kafka/client.ts';
import { sleep } from '../../core/lifecycle.ts';
import { connect } from '../../core/postgres/connect.ts';
import { disconnect } from '../../core/postgres/silence.ts';
import { relayNames, type RelayNames } from '../../control/domain/names.ts';
import { timelineOf } from '../../control/slots.ts';
import type { RelayTerms } from '../../control/relay-terms.ts';
import { allOrNone } from '../all-or-none.ts';
import { databaseOf } from '../schemas.ts';
import { openSlotLog, type SlotChangeLog } from '../slot-log.ts';
import { assertHistory } from './footing.ts';
import { RelayWork, type WorkOptions } from './relay-work.ts';
import { awaitTurn, holdTerm, takeOver, type TurnOptions } from './turn.ts';

export interface RelayOptions extends WorkOptions {
  /** `monolith`, or the service whose database it is. */
  readonly source: string;
  /** Tells this process from all others. */
  readonly holder: string;
  readonly kafka: Pick<KafkaClient, 'producer'>;
  readonly terms: RelayTerms;
  /** Sees to the topics; called before the slot is touched. */
  readonly prepare: () => Promise<void>;
  readonly onStandby: () => Promise<void>;
  readonly silenceMs?: number | undefined;
}

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
      const way = { log, producer, client, ...names };
      // However long it takes to look at the topics, the slot is ours.
      return allOrNone(stop, [holdTerm(turn, signal), new RelayWork(this.#options, way).run(stop)]);
    }
  }

  async #producer(): Promise<Producer> {
    await this.#options.prepare();
    const producer = await this.#options.kafka.producer();
    this.#closers.push(() => producer.close());
    return producer;
  }

  /** Undefined when another relay was faster. */
  async #slotLog(names: RelayNames, patienceMs: number): Promise<SlotChangeLog | undefined> {
    const { url, silenceMs, before } = this.#options;
    const timeline = before
      ? await assertHistory({ url, slot: names.slot }, before)
      : await timelineOf(url);
    const deadline = performance.now() + patienceMs;
    for (;;)
      try {
        return await openSlotLog(
          {
            ...names,
            url,
            silenceMs,
            pieceLimit: PIECE_CHANGES,
            readChanges: PIECE_CHANGES,
            lsns: true,
            typed: true,
            holdsIdle: true,
          },
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
