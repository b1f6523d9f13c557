// Whether a rate is higher on the canary path than on the control path: a sequential test that may be
// looked at as often as one likes. What it adds up is a test martingale, so that under "not higher"
// the chance that it ever reaches 1/α is at most α (Ville's inequality), whenever one stops looking.
//
//  - One look's counts give an E-variable: the likelihood of "control at θa, canary at θb > θa" over
//    that of one rate for both, θ0 = (na·θa + nb·θb)/(na + nb). Turner, Ly and Grünwald ("Generic
//    E-variables for exact sequential k-sample tests that allow for optional stopping", 2024) show
//    that its expectation is at most 1 under every common rate, for whatever sizes; it is under every
//    lower rate of the canary too. θa is what the control has shown in the looks before.
//  - A rise may begin at any moment: the martingale is a mixture over the moments, three fifths of it on
//    the first, most of the rest spread over the time that a step bakes (Shiryaev and Roberts; "E-detectors",
//    Shin, Ramdas and Rinaldo, 2023), and what is left over all the time after, ever thinner: a step
//    that is watched for weeks never goes blind. All of them share each look's factor, so one number a
//    kind is kept.
//  - Where no control runs beside (all traffic is on the service), its rate is taken as the upper bound
//    of what it showed before, and the same holds for each rate below that.

// Taken out once: a simulation looks millions of times.
const { exp, log, max, min } = Math;

/** Answers, and those among them that count against a path. */
export interface Counted {
  readonly answered: number;
  readonly against: number;
}

export interface Look {
  readonly canary: Counted;
  readonly control: Counted;
  /** Since the look before. */
  readonly elapsedMs: number;
}

/** All that is to be kept between two looks; plain numbers, so that another process can go on with it. */
export interface RiseState {
  /** For each of RISES, what its likelihood ratios have grown to. */
  readonly grown: readonly number[];
  /** Share of the mixture whose moment has come. */
  readonly spent: number;
  /** How long it has been looked for, in horizons. */
  readonly horizons: number;
  /** What the control has shown so far, to expect the next look by. */
  readonly control: Counted;
  /** What the martingale has come to. */
  readonly value: number;
  /** The greatest value that it has had; 1 over it bounds the chance of that. */
  readonly peak: number;
}

export interface RiseSettings {
  /** How long the step is watched, roughly: over this time most of the moments are spread. */
  readonly horizonMs: number;
  /** A rate that is no rise: the control's, where none runs beside, or one that is allowed in any case. */
  readonly known?: number | undefined;
}

/** The rises that are looked for, and how much of the mixture each has: two points, and half a point. */
const RISES = [
  { by: 0.02, share: 0.9 },
  { by: 0.005, share: 0.1 },
] as const;
const ON_FIRST = 0.6;
const WITHIN_HORIZON = 0.35;
/** Before the control has shown anything, it is expected at one in a hundred. */
const PRIOR = { answered: 50, against: 0.5 };
const MOST = 1e200;

/** Nothing has been looked at; `before` is what the control showed earlier. */
export function noRise(before: Counted = { answered: 0, against: 0 }): RiseState {
  return {
    grown: RISES.map(() => ON_FIRST),
    spent: ON_FIRST,
    horizons: 0,
    control: before,
    value: 1,
    peak: 1,
  };
}

export function lookForRise(before: RiseState, look: Look, settings: RiseSettings): RiseState {
  const horizons = before.horizons + look.elapsedMs / settings.horizonMs;
  const spent = max(before.spent, spentBy(horizons));
  const begins = spent - before.spent;
  const expected = expectedRate(before.control);
  const grown = RISES.map(({ by }, at) => {
    const factor = factorOf(look, expected, settings.known, by);
    return min(((before.grown[at] ?? 0) + begins) * factor, MOST);
  });
  const value = RISES.reduce((sum, { share }, at) => sum + share * (grown[at] ?? 0), 1 - spent);
  const control = {
    answered: before.control.answered + look.control.answered,
    against: before.control.against + look.control.against,
  };
  return { grown, spent, horizons, control, value, peak: max(before.peak, value) };
}

/** All of it is never spent; the tail is about as heavy as one with a finite sum can be. */
function spentBy(horizons: number): number {
  if (horizons <= 1) return ON_FIRST + WITHIN_HORIZON * horizons;
  return 1 - (1 - ON_FIRST - WITHIN_HORIZON) / (1 + log(horizons));
}

/** The chance that two equal paths would ever look like this, at most. */
export function chanceOf({ peak }: RiseState): number {
  return 1 / peak;
}

function expectedRate({ answered, against }: Counted): number {
  return (against + PRIOR.against) / (answered + PRIOR.answered);
}

/**
 * The lesser of two is an E-variable for either's hypothesis. Bounded, which it may be too: a look at what a
 * long absence has gathered says no more than a number can hold.
 */
function factorOf(look: Look, expected: number, known: number | undefined, by: number): number {
  const above = known === undefined ? Infinity : aboveKnown(look.canary, known, by);
  if (look.control.answered === 0) return known === undefined ? 1 : bounded(above);
  return bounded(min(above, besideControl(look, expected, by)));
}

function bounded(logFactor: number): number {
  return min(exp(logFactor), MOST);
}

/** As logarithms: each side alone may be more, or less, than a number can hold. */
function besideControl({ canary, control }: Look, expected: number, by: number): number {
  const all = canary.answered + control.answered;
  const higher = expected + by * (1 - expected);
  const common = (control.answered * expected + canary.answered * higher) / all;
  return logRatio(control, expected, common) + logRatio(canary, higher, common);
}

function aboveKnown(canary: Counted, known: number, by: number): number {
  return known >= 1 ? 0 : logRatio(canary, known + by * (1 - known), known);
}

function logRatio({ answered, against }: Counted, rate: number, other: number): number {
  return against * log(rate / other) + (answered - against) * log((1 - rate) / (1 - other));
}
