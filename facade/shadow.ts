// Shadow copies: the read that the monolith answers is asked of the service too, and the answers
// are compared. The client's answer passes untouched and waits for nothing; the copy goes out once
// it is through, on connections of its own. Slots, bytes and waiting repetitions are bounded, and
// what does not fit is dropped and counted, never queued.
//
// A difference is believed only when it is still there after the data has arrived; recheck.ts.
import type { Migration } from '../control/definition.ts';
import { messageOf } from '../core/errors.ts';
import type { Logger } from '../core/log.ts';
import { ask, copyOf, plainAnswer, type Asked, type Question } from './ask.ts';
import { capture } from './capture.ts';
import { compareAnswers, compileRules } from './domain/compare.ts';
import type { Match } from './domain/routes.ts';
import type { Tap } from './exchange.ts';
import { dropped, recheck, type Verdict } from './recheck.ts';
import type { SyncClock } from './sync-clock.ts';
import type { Tally } from './tally.ts';
import type { Upstreams } from './upstreams.ts';

export interface ShadowOptions {
  readonly migration: Migration;
  /** Pools of the shadow's own. */
  readonly upstreams: Upstreams;
  readonly tally: Tally;
  readonly clock: SyncClock;
  readonly log: Logger;
  /** Whether the capability is still in `shadow`. */
  readonly isWanted: (capability: string) => boolean;
}

export interface Shadow {
  /** Claims a slot for the copy of a read and returns what must see the answer; undefined when dropped. */
  begin(match: Match, question: Question, hasBody: boolean): Tap | undefined;
  /** Drops what is not yet decided and waits until everything is counted. */
  close(): Promise<void>;
}

/** Differences that may wait for their repetition, as a multiple of the concurrency. */
const RECHECKS_PER_SLOT = 8;

export function createShadow(options: ShadowOptions): Shadow {
  const { migration, upstreams, tally, clock, log } = options;
  const { concurrency, bodyBytes } = migration.facade.shadow;
  const closing = new AbortController();
  const limits = { timeoutMs: migration.facade.timeoutMs, bodyBytes, signal: closing.signal };
  const rules = new Map(
    Object.entries(migration.capabilities).map(([name, one]) => [name, compileRules(one.shadow)]),
  );
  const running = new Set<Promise<void>>();
  const waiting = { count: 0, bytes: 0 };
  let slots = 0;

  /** The whole way of one copy; `afterFirst` gives its slot back. */
  const judge = async (
    match: Match,
    question: Question,
    given: Asked,
    afterFirst: () => void,
  ): Promise<Verdict> => {
    const copy = copyOf(question);
    const compare = rules.get(match.capability) ?? NO_RULES;
    const askCandidate = (): Promise<Asked> =>
      ask(upstreams.service(match.policy.service), copy, limits);
    const isOver = (): boolean => closing.signal.aborted || !options.isWanted(match.capability);
    if (given.kind !== 'answer')
      return dropped(given.kind === 'silent' ? 'control-failed' : 'too-large');
    const first = await askCandidate().finally(afterFirst);
    if (first.kind === 'too-large') return dropped('too-large');
    if (first.kind === 'answer' && compareAnswers(given.answer, first.answer, compare).length === 0)
      return { kind: 'matched' };
    const bytes = given.answer.body.length;
    if (
      waiting.count >= concurrency * RECHECKS_PER_SLOT ||
      waiting.bytes + bytes > concurrency * bodyBytes
    )
      return dropped('recheck-busy');
    waiting.count += 1;
    waiting.bytes += bytes;
    try {
      return await recheck({
        control: given.answer,
        askControl: () => ask(upstreams.monolith, copy, limits),
        askCandidate,
        caughtUp: match.policy.hasTables ? () => clock.caughtUp(match.capability) : undefined,
        isOver,
        rules: compare,
      });
    } finally {
      waiting.count -= 1;
      waiting.bytes -= bytes;
    }
  };

  /** Counts a verdict when it comes; a defect on the way must go neither unseen nor uncounted. */
  const count = (match: Match, url: string, verdict: Promise<Verdict>): void => {
    const counted = verdict
      .catch((error: unknown) => {
        log.error('a shadow comparison failed', { error: messageOf(error), route: match.label });
        return dropped('error');
      })
      .then((known) => {
        if (known.kind === 'matched') tally.matched(match);
        else if (known.kind === 'dropped') tally.dropped(match, known.reason);
        else tally.mismatched(match, url, known.differences);
        running.delete(counted);
      });
    running.add(counted);
  };

  return {
    begin: (match, question, hasBody) => {
      tally.eligible(match);
      if (hasBody || slots >= concurrency) {
        tally.dropped(match, hasBody ? 'has-body' : 'busy');
        return undefined;
      }
      slots += 1;
      const free = once(() => {
        slots -= 1;
      });
      return capture(bodyBytes, (captured) => {
        if (captured.kind === 'dropped') {
          free();
          tally.dropped(match, captured.reason);
          return;
        }
        const verdict = plainAnswer(captured.status, captured.headers, captured.body, bodyBytes)
          .then((given) => judge(match, question, given, free))
          .finally(free);
        count(match, question.target, verdict);
      });
    },
    close: async () => {
      closing.abort();
      while (running.size > 0) await Promise.all(running);
    },
  };
}

const NO_RULES = compileRules({ headers: [], ignore: [], unordered: [] });

function once(work: () => void): () => void {
  let done = false;
  return () => {
    if (!done) work();
    done = true;
  };
}
