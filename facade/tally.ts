// What shadow traffic has told. Two readers: the metrics, which see totals since the process began,
// and the control database, which gets what has gathered every second and for which it
// is kept while the database does not answer.
//
// eligible = matched + mismatched + Σ dropped, for every capability and at every moment: a read
// becomes eligible in the very step in which its outcome is known. Until then it is pending.
import type { Evidence } from '../control/evidence.ts';
import type { ShadowCounts, ShadowMismatch } from '../control/shadow-counts.ts';
import { messageOf } from '../core/errors.ts';
import type { Logger } from '../core/log.ts';
import type { Difference } from './domain/compare.ts';
import { exampleOf } from './domain/example.ts';
import type { Match } from './domain/routes.ts';
import type { DropReason, Verdict } from './domain/verdict.ts';

export interface TallyOptions {
  readonly evidence: Pick<Evidence, 'addShadow'>;
  readonly log: Logger;
}

/** Of one capability, since the process began. */
export interface ShadowTotals {
  matched: number;
  mismatched: number;
  readonly dropped: Map<DropReason, number>;
  /** Of the dropped: a difference was seen, and neither proven nor excused. */
  undecided: number;
  /** Kinds of differences, summed over the answers, that the control's noise excused. */
  noise: number;
  /** Copies without a verdict yet. */
  pending: number;
}

type Counts = { -readonly [Key in keyof ShadowCounts]: ShadowCounts[Key] };
type Mismatch = { -readonly [Key in keyof ShadowMismatch]: ShadowMismatch[Key] };
type Place = Pick<Match, 'capability' | 'label'>;

/** Kinds of differences that are remembered one by one between two flushes. */
const MOST_KINDS = 200;

export class Tally {
  readonly #options: TallyOptions;
  readonly #totals = new Map<string, ShadowTotals>();
  readonly #counts = new Map<string, Counts>();
  readonly #mismatches = new Map<string, Mismatch>();
  #last: Counts | undefined;
  #flushing: Promise<void> | undefined;

  constructor(options: TallyOptions) {
    this.#options = options;
  }

  /** Every capability that was counted so far. */
  totals(): ReadonlyMap<string, Readonly<ShadowTotals>> {
    return this.#totals;
  }

  /** A copy is under way; `decided` follows. */
  began(match: Place): void {
    this.#totalsOf(match).pending += 1;
  }

  /** A copy that was never begun. `version` is that of the capability's state. */
  refused(match: Place, version: number, reason: DropReason): void {
    this.#dropped(match, version, reason);
  }

  /** The end of a copy that had begun. `version` is that of the capability's state at its begin. */
  decided(match: Place, version: number, url: string, verdict: Verdict): void {
    const totals = this.#totalsOf(match);
    totals.pending -= 1;
    if (verdict.kind === 'dropped') {
      this.#dropped(match, version, verdict.reason);
      if (verdict.undecided === true) {
        totals.undecided += 1;
        this.#countsOf(match, version).undecided += 1;
      }
      return;
    }
    const counts = this.#countsOf(match, version);
    counts.compared += 1;
    counts.noise += verdict.noise;
    totals.noise += verdict.noise;
    if (verdict.kind === 'matched') totals.matched += 1;
    else {
      totals.mismatched += 1;
      counts.mismatched += 1;
      this.#tell(match, version, url, verdict.differences);
    }
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
    this.#last = undefined;
    this.#mismatches.clear();
    try {
      await this.#options.evidence.addShadow(counts, mismatches);
    } catch (error) {
      this.#options.log.warn('shadow figures could not be stored; they are kept', {
        error: messageOf(error),
      });
      for (const one of counts) {
        const now = this.#countsOf({ capability: one.capability, label: one.route }, one.version);
        now.compared += one.compared;
        now.mismatched += one.mismatched;
        now.dropped += one.dropped;
        now.undecided += one.undecided;
        now.noise += one.noise;
      }
      for (const one of mismatches) this.#count(one);
    }
  }

  #dropped(match: Place, version: number, reason: DropReason): void {
    const { dropped } = this.#totalsOf(match);
    dropped.set(reason, (dropped.get(reason) ?? 0) + 1);
    this.#countsOf(match, version).dropped += 1;
  }

  /** An answer's differences are counted once per path. */
  #tell(match: Place, version: number, url: string, differences: readonly Difference[]): void {
    for (const one of new Map(differences.map((found) => [found.path, found])).values())
      this.#count({
        capability: match.capability,
        route: match.label,
        version,
        path: one.path,
        count: 1,
        example: { url, control: exampleOf(one.control), candidate: exampleOf(one.candidate) },
      });
  }

  #totalsOf({ capability }: Place): ShadowTotals {
    let totals = this.#totals.get(capability);
    if (!totals) {
      totals = {
        ...{ matched: 0, mismatched: 0, dropped: new Map(), undecided: 0 },
        ...{ noise: 0, pending: 0 },
      };
      this.#totals.set(capability, totals);
    }
    return totals;
  }

  #countsOf({ capability, label: route }: Place, version: number): Counts {
    // One answer after the other is mostly of the same route.
    const last = this.#last;
    if (last?.route === route && last.version === version && last.capability === capability)
      return last;
    const key = `${capability} ${version} ${route}`;
    let counts = this.#counts.get(key);
    if (!counts) {
      counts = {
        ...{ capability, route, version },
        ...{ compared: 0, mismatched: 0, dropped: 0, undecided: 0, noise: 0 },
      };
      this.#counts.set(key, counts);
    }
    this.#last = counts;
    return counts;
  }

  #count(one: Mismatch): void {
    const full = this.#mismatches.size >= MOST_KINDS;
    const key = `${one.capability} ${one.version} ${one.route} ${one.path}`;
    const known = this.#mismatches.get(key);
    if (known) known.count += one.count;
    else if (!full) this.#mismatches.set(key, { ...one });
  }
}
