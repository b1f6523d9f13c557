// How both paths answer while both are there, for the gates of a canary: counted by route and path
// under the state's version, and sent to the control database each second, where all replicas add to the
// same rows; kept while that does not answer. An answer counts for the path that was to give it: where the other one stood
// in, or nobody answered, it has failed. Who gave up waiting counts as answered when he left: it took
// that long at least, and a path that hangs is not hidden by it. The hot path adds to plain numbers found by the match object.
import type { AnswerCounts } from '../control/answers.ts';
import { bucketOf, LATENCY_BUCKETS } from '../control/domain/latencies.ts';
import type { Owner } from '../control/domain/phase.ts';
import type { CapabilityState } from '../control/domain/state.ts';
import type { Evidence } from '../control/evidence.ts';
import { messageOf } from '../core/errors.ts';
import type { Logger } from '../core/log.ts';
import { hasTwoSides } from './domain/fallback.ts';
import type { Match } from './domain/routes.ts';
import type { Ended } from './ended.ts';

export interface AnswerTallyOptions {
  readonly evidence: Pick<Evidence, 'addAnswers'>;
  readonly stateOf: (capability: string) => CapabilityState | undefined;
  readonly log: Pick<Logger, 'warn'>;
}

interface Series {
  answered: number;
  failed: number;
  readonly latencies: number[];
}

interface OfVersion {
  readonly version: number;
  readonly monolith: Series;
  readonly service: Series;
}

const SEND_MS = 1_000;
/** Rows that are kept while the control database is away: the oldest go first. */
const MOST_KEPT = 2_000;

export class AnswerTally {
  readonly #options: AnswerTallyOptions;
  #counted = new Map<Match, OfVersion[]>();
  #unsent: AnswerCounts[] = [];
  #flushing: Promise<void> | undefined;
  #sentAt = -Infinity;

  constructor(options: AnswerTallyOptions) {
    this.#options = options;
  }

  /** Without the time that the edge itself held it back during a switch. */
  count({ match, path, status, ms, fellBack, why }: Ended, heldMs = 0): void {
    // Upgraded connections have no answer, and neither has half a request.
    if (!match || path === 'none' || status < 200 || why === 'body-late') return;
    const state = this.#options.stateOf(match.capability);
    if (!state || !hasTwoSides(state.phase)) return;
    const series = this.#seriesOf(match, state.version)[fellBack ? other(path) : path];
    series.answered += 1;
    if (fellBack || status >= 500) series.failed += 1;
    const at = bucketOf(ms - heldMs);
    series.latencies[at] = (series.latencies[at] ?? 0) + 1;
  }

  /** Adds what has gathered to the control database, once it is time; never throws. */
  async flush(now = performance.now()): Promise<void> {
    if (now < this.#sentAt + SEND_MS) return;
    this.#sentAt = now;
    await this.#flushing;
    this.#gather();
    if (this.#unsent.length === 0) return;
    this.#flushing = this.#send();
    await this.#flushing;
  }

  async #send(): Promise<void> {
    const sent = this.#unsent;
    this.#unsent = [];
    try {
      await this.#options.evidence.addAnswers(sent);
    } catch (error) {
      this.#options.log.warn('figures of answers could not be stored; they are kept', {
        error: messageOf(error),
      });
      this.#unsent = [...sent, ...this.#unsent].slice(-MOST_KEPT);
    }
  }

  #gather(): void {
    const counted = this.#counted;
    this.#counted = new Map();
    for (const [match, versions] of counted)
      for (const one of versions)
        for (const path of ['monolith', 'service'] as const)
          if (one[path].answered > 0)
            this.#unsent.push({
              capability: match.capability,
              version: one.version,
              route: match.label,
              kind: match.kind,
              path,
              ...one[path],
            });
  }

  #seriesOf(match: Match, version: number): OfVersion {
    let versions = this.#counted.get(match);
    if (!versions) {
      versions = [];
      this.#counted.set(match, versions);
    }
    const last = versions.at(-1);
    if (last?.version === version) return last;
    const fresh = { version, monolith: series(), service: series() };
    versions.push(fresh);
    return fresh;
  }
}

function series(): Series {
  return { answered: 0, failed: 0, latencies: new Array<number>(LATENCY_BUCKETS).fill(0) };
}

function other(path: Owner): Owner {
  return path === 'monolith' ? 'service' : 'monolith';
}
