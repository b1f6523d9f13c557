// Shadow copies: the read that the monolith answers is asked of the service too, and the answers
// are compared (judge.ts). The client's answer passes untouched and waits for nothing; the copy goes
// out once it is through, on connections of its own. What copies may use is bounded in every
// respect: places at a time, bytes brought in and kept, time of the processor, questions to the
// control beside the clients'. What does not fit is dropped and counted, never queued; and whether it
// fits is asked before anything is known of the answer, so that what is left out favours neither right
// nor wrong. (But for a candidate that answers nothing at all, where one wrong answer decides anyway.)
import type { Migration } from '../control/definition.ts';
import { messageOf } from '../core/errors.ts';
import type { Logger } from '../core/log.ts';
import { Allowance, freeMs } from './allowance.ts';
import { Asker } from './ask.ts';
import type { Question } from './asked.ts';
import { capture } from './capture.ts';
import { plainAnswer } from './decode.ts';
import { compileRules, type CompareRules } from './domain/compare.ts';
import type { Match } from './domain/routes.ts';
import { dropped, type DropReason, type Verdict } from './domain/verdict.ts';
import type { Tap } from './job.ts';
import type { Ejection } from './ejection.ts';
import { judge } from './judge.ts';
import { Lanes } from './lanes.ts';
import { Memory, Purse } from './memory.ts';
import { meterSocket } from './metered-socket.ts';
import { rememberRoutes, type ShadowRoute } from './shadow-routes.ts';
import type { SyncClock } from './sync-clock.ts';
import type { Tally } from './tally.ts';
import type { Leg } from './tracing.ts';
import { Turns } from './turns.ts';
import { copyPool } from './copy-pool.ts';
import { openUpstreams, type UpstreamUrls } from './upstreams.ts';

export interface ShadowOptions {
  readonly migration: Migration;
  /** Copies have connections of their own: a candidate that hangs takes none from clients. */
  readonly upstreams: UpstreamUrls;
  readonly tally: Tally;
  readonly clock: SyncClock;
  readonly log: Logger;
  /** Version of the capability's state while it is in `shadow`; undefined when it is not. */
  readonly version: (capability: string) => number | undefined;
  /** Whether clients' requests suffer from a lack of anything: copies are the first to go. */
  readonly isOverloaded?: () => boolean;
  /** Milliseconds that clients have left of the processor's time. */
  readonly freeMs?: () => number;
  /** The clock by which a candidate that does not answer is asked now and then, in milliseconds. */
  readonly now?: () => number;
}

export interface Shadow {
  /**
   * Claims a slot for the copy of a read and returns what must see the answer; undefined when dropped. What is asked
   * is made up only for one that begins: where the first ones live for long, V8 takes it that all will, and puts
   * what each request makes there among the old, where its collection stops the clients.
   */
  begin(match: Match, ask: () => Question): Tap | undefined;
  /** Drops what is not yet decided and waits until everything is counted. */
  close(): Promise<void>;
}

/** Differences that may wait for their repetition, as a multiple of the concurrency. */
const REPEATS_PER_SLOT = 8;
/** Questions of repetitions that are under way at a time. */
const LANES = 4;
/** Share of the copies that may ask the control again, beside the fixed rate. */
const REPEATS_PER_COPY = 0.1;
/** Milliseconds of processor that capturing an answer and beginning a copy cost; measured, roughly. */
const BEGIN_MS = 0.02;
/** To make a connection, and to bury it; measured, roughly. */
const CONNECT_MS = 0.15;
/** What a copy may cost before anything is known of a candidate. */
const USUAL_MS = 1;
const USUAL_BYTES = 16_384;
/** The largest head of an answer; the usual limit of servers. */
const HEAD_BYTES = 16_384;
/** Bytes on the wire for each byte of a body, at most: chunks have a frame. */
const WIRE_FACTOR = 4;

interface Policy {
  readonly rules: CompareRules;
  readonly wanted: ReadonlySet<string>;
  readonly noiseSample: number;
}

export function createShadow(options: ShadowOptions): Shadow {
  const { migration, tally, clock, log } = options;
  const { concurrency, bodyBytes, memoryBytes, cpu, bytesPerSecond, repeatsPerSecond } =
    migration.facade.shadow;
  const policies = new Map<string, Policy>(
    Object.entries(migration.capabilities).map(([name, { shadow }]) => [name, policyOf(shadow)]),
  );
  const routeOf = rememberRoutes(migration, log, options.now);
  const memory = new Memory(memoryBytes);
  // A quarter of a second's worth at once: enough for a burst, too little to be noticed.
  const work = new Allowance({
    ...{ perSecond: cpu * 1_000, most: cpu * 250, usual: USUAL_MS },
    now: options.freeMs ?? freeMs,
  });
  const bytes = new Allowance({
    perSecond: bytesPerSecond,
    most: bytesPerSecond / 4,
    usual: USUAL_BYTES,
  });
  const repeats = new Allowance({ perSecond: repeatsPerSecond, most: repeatsPerSecond * 2 });
  const turns = new Turns(work);
  const { connectTimeoutMs, idleTimeoutMs } = migration.facade;
  // A copy that was given up keeps its connection for a moment: there is room for the next one.
  const limits = { connections: concurrency * 2, connectTimeoutMs, idleTimeoutMs };
  const upstreams = openUpstreams(options.upstreams, (origin) =>
    copyPool(origin, {
      ...limits,
      headBytes: HEAD_BYTES,
      onConnect: () => {
        work.spend(CONNECT_MS);
      },
      onSocket: (socket) => {
        meterSocket(socket, { cpu: work, bytes }, bodyBytes * WIRE_FACTOR + HEAD_BYTES);
      },
    }),
  );
  const asker = new Asker({ timeoutMs: migration.facade.timeoutMs, bodyBytes, cpu: work });
  const lanes = new Lanes(LANES, () => closing || work.has());
  const running = new Set<Promise<void>>();
  let slots = 0;
  let repeating = 0;
  let closing = false;

  const refusal = (silent: Ejection | undefined, tooLarge: Ejection): DropReason | undefined => {
    if (options.isOverloaded?.() === true) return 'shed';
    if (silent?.isOut === true) return 'ejected';
    if (tooLarge.isOut) return 'too-large';
    if (slots >= concurrency) return 'busy';
    // What has begun goes first: or else its questions would all be asked on credit, and at once.
    if (lanes.isHeldBack || !work.has()) return 'cpu';
    if (!bytes.has()) return 'bandwidth';
    if (memory.free < bodyBytes * 2) return 'memory';
    if (repeating >= concurrency * REPEATS_PER_SLOT || !repeats.has()) return 'recheck-busy';
    return undefined;
  };

  // There is a place for everybody: a copy has only begun because there was one.
  const repeat = async <T>(again: () => Promise<T>): Promise<T> => {
    repeating += 1;
    try {
      return await again();
    } finally {
      repeating -= 1;
    }
  };

  /** Counts a verdict when it comes; a defect on the way must go neither unseen nor uncounted. */
  const count = (
    match: Match,
    version: number,
    url: string,
    verdict: Promise<Verdict>,
    leg: Leg | undefined,
  ): void => {
    const counted = verdict
      .catch((error: unknown) => {
        log.error('a shadow comparison failed', { error: messageOf(error), route: match.label });
        return dropped('error');
      })
      .then((known) => {
        tally.decided(match, version, url, known);
        leg?.judged(known.kind === 'dropped' ? known.reason : known.kind);
        leg?.end();
        running.delete(counted);
      });
    running.add(counted);
  };

  const copy = (
    match: Match,
    version: number,
    { noise, silent, tooLarge }: ShadowRoute,
    question: Question,
  ): Tap => {
    const policy = policies.get(match.capability) ?? NO_POLICY;
    slots += 1;
    silent?.began();
    tooLarge.began();
    const settle = [work.begin(), bytes.begin()];
    work.spend(BEGIN_MS);
    repeats.spend(-REPEATS_PER_COPY);
    tally.began(match);
    const purse = new Purse(memory);
    const free = once(() => {
      slots -= 1;
      silent?.left();
      tooLarge.left();
      for (const end of settle) end();
    });
    const { wanted, rules } = policy;
    const isHead = question.method === 'HEAD';
    return capture({ bodyBytes, purse, wanted, isHead }, (captured) => {
      if (captured.kind === 'dropped') {
        free();
        purse.close();
        if (captured.reason === 'too-large') tooLarge.ended(false);
        tally.decided(match, version, question.target, dropped(captured.reason));
        return;
      }
      const { asked, status, headers, body } = captured;
      const leg = question.trace?.leg({ 'banyan.path': 'service', 'banyan.shadow': true });
      const verdict = plainAnswer({ status, headers, body }, bodyBytes, purse, work)
        .then((given) =>
          judge({
            question: {
              ...question,
              ...(leg && { headers: leg.under(question.headers) }),
              body: asked,
            },
            given,
            monolith: upstreams.monolith,
            service: upstreams.service(match.policy.service),
            asker,
            turns,
            purse,
            rules,
            wanted,
            noise,
            sample: policy.noiseSample,
            caughtUp: match.policy.hasTables ? () => clock.caughtUp(match.capability) : undefined,
            isOver: () => closing || options.version(match.capability) === undefined,
            onFirst: ({ kind }) => {
              silent?.ended(kind !== 'silent');
              if (kind === 'answer' || kind === 'too-large') tooLarge.ended(kind === 'answer');
            },
            onRepeat: () => {
              repeats.spend(1);
            },
            afterFirst: free,
            repeat,
            lanes,
          }),
        )
        .finally(() => {
          free();
          purse.close();
        });
      count(match, version, question.target, verdict, leg);
    });
  };

  return {
    begin: (match, ask) => {
      const version = options.version(match.capability) ?? 0;
      const route = routeOf(match);
      const refused = refusal(route.silent, route.tooLarge);
      if (!refused) return copy(match, version, route, ask());
      tally.refused(match, version, refused);
      return undefined;
    },
    close: async () => {
      closing = true;
      asker.close();
      while (running.size > 0) await Promise.all(running);
      await upstreams.close();
    },
  };
}

function policyOf(given: Migration['capabilities'][string]['shadow']): Policy {
  const rules = compileRules(given);
  return {
    rules,
    wanted: new Set([...rules.headers, 'content-type', 'content-encoding', 'location']),
    noiseSample: given.noise.sample,
  };
}

const NO_POLICY: Policy = { rules: compileRules({}), wanted: new Set(), noiseSample: 0 };

function once(work: () => void): () => void {
  let done = false;
  return () => {
    if (!done) work();
    done = true;
  };
}
