// What shadow traffic has told, on its way to the control database: counted here, added there every
// quarter of a second, kept when the database does not answer. At rest
// eligible = matched + mismatched + dropped, for every capability.
import type { Evidence, ShadowCounts, ShadowMismatch } from '../control/evidence.ts';
import { messageOf } from '../core/errors.ts';
import type { Logger } from '../core/log.ts';
import type { Difference } from './domain/compare.ts';
import type { Match } from './domain/routes.ts';

/** Why a copy told nothing. */
export type DropReason =
  /** Too many copies at once. */
  | 'busy'
  /** A body over `facade.shadow.bodyBytes`. */
  | 'too-large'
  /** The client's own answer did not come whole. */
  | 'control-failed'
  /** 206 and 304 answer a condition of the client's. */
  | 'partial'
  /** A read with a body is not copied. */
  | 'has-body'
  /** Too many differences wait for their repetition. */
  | 'recheck-busy'
  /** The watermark did not pass in time. */
  | 'not-synced'
  /** The compared place never stood still. */
  | 'in-flux'
  /** The capability left `shadow`, or the process ended, before the verdict. */
  | 'over'
  /** A defect; see the log. */
  | 'error';

export type ShadowOutcome = 'eligible' | 'matched' | 'mismatched' | `dropped-${DropReason}`;

export interface TallyOptions {
  readonly evidence: Pick<Evidence, 'addShadow'>;
  readonly log: Logger;
  /** For metrics. */
  readonly onOutcome: (capability: string, outcome: ShadowOutcome) => void;
}

type Counts = { -readonly [Key in keyof ShadowCounts]: ShadowCounts[Key] };
type Mismatch = { -readonly [Key in keyof ShadowMismatch]: ShadowMismatch[Key] };

/** Kinds of differences that are remembered one by one between two flushes. */
const MOST_KINDS = 200;
const EXAMPLE_LENGTH = 300;

export class Tally {
  readonly #options: TallyOptions;
  readonly #counts = new Map<string, Counts>();
  readonly #mismatches = new Map<string, Mismatch>();
  #flushing: Promise<void> | undefined;

  constructor(options: TallyOptions) {
    this.#options = options;
  }

  eligible(match: Match): void {
    this.#options.onOutcome(match.capability, 'eligible');
  }

  matched(match: Match): void {
    this.#of(match).compared += 1;
    this.#options.onOutcome(match.capability, 'matched');
  }

  /** One answer that differed; its differences are counted once per path. */
  mismatched(match: Match, url: string, differences: readonly Difference[]): void {
    const counts = this.#of(match);
    counts.compared += 1;
    counts.mismatched += 1;
    for (const one of new Map(differences.map((found) => [found.path, found])).values())
      this.#count({
        capability: match.capability,
        route: match.label,
        path: one.path,
        count: 1,
        example: { url, control: shorten(one.control), candidate: shorten(one.candidate) },
      });
    this.#options.onOutcome(match.capability, 'mismatched');
  }

  dropped(match: Match, reason: DropReason): void {
    this.#of(match).dropped += 1;
    this.#options.onOutcome(match.capability, `dropped-${reason}`);
  }

  /** Adds what has gathered to the control database; never throws. */
  async flush(): Promise<void> {
    await this.#flushing;
    if (this.#counts.size === 0) return;
    this.#flushing = this.#send();
    await this.#flushing;
  }

  async #send(): Promise<void> {
    const counts = [...this.#counts.values()];
    const mismatches = [...this.#mismatches.values()];
    this.#counts.clear();
    this.#mismatches.clear();
    try {
      await this.#options.evidence.addShadow(counts, mismatches);
    } catch (error) {
      this.#options.log.warn('shadow figures could not be stored; they are kept', {
        error: messageOf(error),
      });
      for (const one of counts) {
        const now = this.#of({ capability: one.capability, label: one.route });
        now.compared += one.compared;
        now.mismatched += one.mismatched;
        now.dropped += one.dropped;
      }
      for (const one of mismatches) this.#count(one);
    }
  }

  #of(match: Pick<Match, 'capability' | 'label'>): Counts {
    const key = `${match.capability} ${match.label}`;
    let counts = this.#counts.get(key);
    if (!counts) {
      const { capability, label: route } = match;
      counts = { capability, route, compared: 0, mismatched: 0, dropped: 0 };
      this.#counts.set(key, counts);
    }
    return counts;
  }

  #count(one: Mismatch): void {
    const full = this.#mismatches.size >= MOST_KINDS;
    const key = `${one.capability} ${one.route} ${one.path}`;
    const known = this.#mismatches.get(key);
    if (known) known.count += one.count;
    else if (!full) this.#mismatches.set(key, { ...one });
  }
}

/** Examples are for reading: long values are cut. */
function shorten(value: unknown): unknown {
  const text = JSON.stringify(value);
  return text.length <= EXAMPLE_LENGTH ? value : `${text.slice(0, EXAMPLE_LENGTH)}…`;
}
