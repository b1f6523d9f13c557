// A relay of a pair's monolith, whose every change is the next number, and brokers that do whatever is
// needed: requests that fail in the middle, with and without having been written, brokers that stand still.
import type { KafkaClient } from '../../core/kafka/client.ts';
import { createLogger } from '../../core/log.ts';
import { waitFor } from '../../core/lifecycle.ts';
import { connect } from '../../core/postgres/connect.ts';
import { relayNames } from '../../control/domain/names.ts';
import type { RelayLife } from '../../control/domain/relay-life.ts';
import { Participant } from '../../control/participant.ts';
import { joinRelay, relayLife } from '../../control/relay.ts';
import { leaveRelay } from '../../control/relay-leave.ts';
import type { RelayProgress } from '../../control/relay-reports.ts';
import { RelayTerms } from '../../control/relay-terms.ts';
import type { Piece } from '../../sync/domain/change.ts';
import type { Mark } from '../../sync/domain/debezium/position.ts';
import { runRelay, type RelayOptions } from '../../sync/kafka/relay.ts';
import type { Script } from '../../sync/kafka/relay-work.ts';
import { createPair, SESSION, type Pair } from './pair.ts';
import { producing } from './producing.ts';

/** What becomes of a request: there, refused, there though it was refused, or one of these after a while. */
export type Answer = 'written' | 'refused' | 'lost' | Promise<unknown>;

/** Brokers with one topic. A producer keeps its word: after a failure it writes nothing more. */
export class Brokers implements Pick<KafkaClient, 'producer'> {
  readonly topic: string[] = [];
  /** Those that have changes; and those that only say how far they go. */
  requests = 0;
  beats = 0;
  readonly #answer: (request: number) => Answer;
  readonly #onBeat: (beat: number) => Answer;

  constructor(
    answer: (request: number) => Answer = () => 'written',
    onBeat: (beat: number) => Answer = () => 'written',
  ) {
    this.#answer = answer;
    this.#onBeat = onBeat;
  }

  producer() {
    let failed = false;
    return Promise.resolve(
      producing(async (records) => {
        if (failed) throw new Error('failed before');
        const answer = records.every(({ value }) => isIdle(value ?? ''))
          ? this.#onBeat((this.beats += 1))
          : this.#answer((this.requests += 1));
        const fate = await answer;
        if (fate !== 'refused') this.topic.push(...records.map(({ value }) => value ?? ''));
        if (fate === 'refused' || fate === 'lost') {
          failed = true;
          throw new Error(fate);
        }
      }),
    );
  }
}

/** The counter's values, with their positions. */
export const script: Script = {
  letters: 0,
  write: ({ head, changes, firstSeq }: Piece) =>
    Promise.resolve(
      changes.flatMap((change, index) =>
        change.kind === 'update'
          ? [
              {
                topic: 't',
                key: null,
                value: `${head.commitLsn}/${firstSeq + index}/${change.after[7] ?? ''}`,
                headers: {},
              },
            ]
          : [],
      ),
    ),
  beat: (idle) =>
    idle === undefined ? [] : [{ topic: 't', key: null, value: `idle/${idle}`, headers: {} }],
};

const isIdle = (text: string): boolean => text.startsWith('idle/');

/** Up to where records say that all is there. */
export const idleIn = ({ topic }: Brokers): bigint =>
  topic.filter(isIdle).reduce((most, text) => {
    const idle = BigInt(text.slice('idle/'.length));
    return idle > most ? idle : most;
  }, 0n);

export interface Running {
  readonly ended: Promise<unknown>;
  readonly reports: RelayProgress[];
  readonly isWorking: () => boolean;
  end(): Promise<void>;
}

/** What comes for the first time, by positions. */
export function counted(topic: readonly string[]): number[] {
  let seen = [0n, 0n];
  return topic
    .filter((text) => !isIdle(text))
    .flatMap((text) => {
      const [commit = 0n, seq = 0n, value = 0n] = text.split('/').map(BigInt);
      const [lastCommit = 0n, lastSeq = 0n] = seen;
      if (commit < lastCommit || (commit === lastCommit && seq <= lastSeq)) return [];
      seen = [commit, seq];
      return [Number(value)];
    });
}

export const upTo = (last: number): number[] =>
  Array.from({ length: last }, (_, index) => index + 1);

export const holds = (brokers: Brokers, last: number, timeoutMs = 30_000): Promise<unknown> =>
  waitFor(() => counted(brokers.topic).at(-1) === last, {
    timeoutMs,
    everyMs: 5,
    what: `${last} to be with the brokers`,
  });

export interface CountedRelay {
  readonly pair: Pair;
  readonly source: Participant;
  /** Of the slot that it began with. */
  readonly life: RelayLife | undefined;
  /** Starts a relay whose topic has everything, where the options do not say otherwise. */
  start(kafka: RelayOptions['kafka'], options?: Partial<RelayOptions>): Running;
  /** So many transactions. */
  count(times: number): Promise<void>;
  /** What the slot has confirmed. */
  confirmed(): Promise<string>;
  close(): Promise<void>;
}

const RELAYED = { tables: ['prd'], known: ['prd'] };

export async function countedRelay(): Promise<CountedRelay> {
  const pair = await createPair();
  const { database } = pair.connections.monolith;
  if (!database) throw new Error('no logins');
  const source = await Participant.open({
    capability: 'catalog',
    side: 'monolith',
    labels: { monolith: 'the monolith', service: 'the service' },
    logins: database,
    tables: [],
  });
  await pair.monolith.query(`INSERT INTO prd (prd_id, no, nm, prc) VALUES (1, 'C', 'counter', 1)`);
  await joinRelay(source, RELAYED);
  const { slot, publication } = relayNames(source.database);
  const life = await relayLife(source.client, publication);
  const running: Running[] = [];
  return {
    ...{ pair, source, life },
    start: (kafka, options = {}) => {
      const one = begin({
        ...{ source: 'monolith', url: source.logins.capture, holder: `h${running.length}`, kafka },
        terms: new RelayTerms(pair.db),
        end: () => Promise.resolve({ marks: [whole(life)], isCut: false }),
        ...options,
      });
      running.push(one);
      return one;
    },
    count: async (times) => {
      const session = await connect(pair.monolithAppUrl, SESSION);
      for (let done = 0; done < times; done++)
        await session.query('UPDATE prd SET stk = stk + 1 WHERE prd_id = 1');
      await session.end();
    },
    confirmed: async () => {
      const { rows } = await pair.monolith.query<{ at: string }>(
        'SELECT confirmed_flush_lsn AS at FROM pg_replication_slots WHERE slot_name = $1',
        [slot],
      );
      return rows[0]?.at ?? '';
    },
    close: async () => {
      for (const one of running) await one.end();
      await leaveRelay(source, RELAYED);
      await source.close();
      await pair.close();
    },
  };
}

/** Of a topic that has everything. */
const whole = (life: RelayLife | undefined): Mark => ({
  life: life?.name,
  position: { timeline: 1, commitLsn: 0n, seq: 0 },
  ...{ endLsn: 0n, completeTo: 1n << 62n },
});

type Given = Pick<RelayOptions, 'source' | 'url' | 'holder' | 'kafka' | 'terms' | 'end'>;

function begin(options: Given & Partial<RelayOptions>): Running {
  const stop = new AbortController();
  const reports: RelayProgress[] = [];
  let working = false;
  const ended = runRelay(
    {
      prepare: () => Promise.resolve(),
      script: () => Promise.resolve(script),
      before: undefined,
      onStandby: () => Promise.resolve(),
      onRunning: () => {
        working = true;
      },
      report: (progress) => {
        reports.push(progress);
        return Promise.resolve();
      },
      log: createLogger({}, 'silent'),
      ...options,
    },
    stop.signal,
  ).then(
    () => undefined,
    (error: unknown) => error,
  );
  return {
    ended,
    reports,
    isWorking: () => working,
    end: async () => {
      stop.abort();
      await ended;
    },
  };
}
