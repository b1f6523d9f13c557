// Noise: what the control does not reproduce itself. Asked twice, a monolith gives two request ids,
// two timestamps, the same list in another order; where it differs from itself, a service that
// differs is not wrong yet. Known by route and path, learned from pairs of the control's answers.
//
// Noise excuses values, never shapes: where the control's values vary, a null, a missing member or an
// empty text is excused only if the control itself has been seen to give one there.
//
// Noise does not hide what is wrong on top of it. Of a good candidate, one answer among three is as
// likely the odd one as the control's: it differs from a control that stands still no more often than
// it agrees with one that moves. Where it does so clearly more often, the place is wrong; the idea
// is Diffy's, raw against noise.
import { kindOf, mirrorOf, type Difference } from './difference-kind.ts';

/** What one repeated comparison has shown of a kind of difference, as shares of its places. */
export interface Weight {
  /** The control stood still, and the candidate differed. */
  readonly firm: number;
  /** The control moved, and the candidate agreed with one of its answers. */
  readonly agreed: number;
}

interface Kind {
  /** Pairs of the control's answers that differed here. */
  pairs: number;
  firm: number;
  agreed: number;
  proven: boolean;
}

/** Share of the pairs from which on a difference of the control with itself is noise, not chance. */
const RATE = 0.05;
const LEAST_PAIRS = 2;
/** Standard deviations that a place must differ more often than noise explains. */
const CLEARLY = 4;
/** After so many pairs all counts are halved: a control that is deployed anew is learned anew. */
const WINDOW = 200;
/** Kinds of differences that are remembered for one route. */
const MOST_KINDS = 500;
/** Comparisons in which the control stood still at a place, and never moved there, that prove it quiet. */
const ENOUGH = 8;
/** A route's first comparisons are all repeated. */
const FIRST = 3;

/** The noise of one route. */
export class RouteNoise {
  readonly #kinds = new Map<string, Kind>();
  readonly #onLearned: (kind: string) => void;
  #pairs = 0;
  #compared = 0;

  /** `onLearned` is told each kind of difference that has become noise. */
  constructor(onLearned: (kind: string) => void = () => undefined) {
    this.#onLearned = onLearned;
  }

  /** Whether the control of this comparison is to be asked again, for a share of them. */
  isDue(share: number): boolean {
    const before = Math.floor(this.#compared * share);
    this.#compared += 1;
    return share > 0 && (this.#compared <= FIRST || Math.floor(this.#compared * share) > before);
  }

  /** Learns from two answers of the control how they differed. */
  learn(differences: readonly Difference[]): void {
    if (this.#pairs >= WINDOW) this.#halve();
    this.#pairs += 1;
    const kinds = new Set(differences.flatMap((one) => [kindOf(one), mirrorOf(one)]));
    for (const kind of kinds) {
      const known = this.#kind(kind);
      if (!known) continue;
      const before = this.isNoise(kind);
      known.pairs += 1;
      if (!before && this.isNoise(kind)) this.#onLearned(kind);
    }
  }

  /** Learns how one comparison, repeated, has told noise from fault. */
  weigh(kind: string, { firm, agreed }: Weight): void {
    const known = this.#kind(kind);
    if (!known || firm + agreed === 0) return;
    known.firm += firm / (firm + agreed);
    known.agreed += agreed / (firm + agreed);
  }

  /** Remembers that the control was seen to stand still here while the candidate differed. */
  prove(kind: string): void {
    const known = this.#kind(kind);
    if (known) known.proven = true;
  }

  /** Whether nobody needs to ask the control any more: it was proven, or stood still in many comparisons. */
  isProven(kind: string): boolean {
    const known = this.#kinds.get(kind);
    return known !== undefined && (known.proven || (known.pairs === 0 && known.firm >= ENOUGH));
  }

  /** Whether a candidate that differs in this way is excused. */
  isNoise(kind: string): boolean {
    return this.#standing(kind) === 'noise';
  }

  /** Whether the control is noisy here, and the candidate differs more often than that explains. */
  isWrong(kind: string): boolean {
    return this.#standing(kind) === 'wrong';
  }

  #standing(kind: string): 'quiet' | 'noise' | 'wrong' {
    const known = this.#kinds.get(kind);
    if (!known || known.pairs < LEAST_PAIRS || known.pairs < RATE * this.#pairs) return 'quiet';
    const { firm, agreed } = known;
    return firm - agreed > CLEARLY * Math.sqrt(firm + agreed) ? 'wrong' : 'noise';
  }

  #kind(kind: string): Kind | undefined {
    const known = this.#kinds.get(kind);
    if (known || this.#kinds.size >= MOST_KINDS) return known;
    const fresh: Kind = { pairs: 0, firm: 0, agreed: 0, proven: false };
    this.#kinds.set(kind, fresh);
    return fresh;
  }

  #halve(): void {
    this.#pairs /= 2;
    for (const [kind, known] of this.#kinds) {
      known.pairs = Math.floor(known.pairs / 2);
      known.firm /= 2;
      known.agreed /= 2;
      if (known.pairs === 0 && known.firm + known.agreed < 0.5) this.#kinds.delete(kind);
    }
  }
}
