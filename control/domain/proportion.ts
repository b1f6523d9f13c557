// What counted failures say of the rate behind them: an exact upper bound, and what a number of clean
// trials is worth.

/**
 * The one-sided upper bound of Clopper and Pearson (Biometrika 26, 1934): the largest rate under which
 * so few failures still have a chance of `1 - confidence`. It is exact: whatever the rate, the bound is
 * below it at most that often. With no failure it is 1 − (1 − confidence)^(1/trials), which the "rule
 * of three" (Hanley and Lippman-Hand, JAMA 249, 1983) rounds to 3/trials at 95 %.
 */
export function upperBound(failures: number, trials: number, confidence: number): number {
  if (failures >= trials) return 1;
  const chance = 1 - confidence;
  if (failures === 0) return 1 - chance ** (1 / trials);
  let [low, high] = [failures / trials, 1];
  for (let turn = 0; turn < 60; turn++) {
    const rate = (low + high) / 2;
    if (atMost(failures, trials, rate) > chance) low = rate;
    else high = rate;
  }
  return high;
}

/** Trials without a failure that bound the rate by `rate`. */
export function cleanTrialsFor(rate: number, confidence: number): number {
  return Math.ceil(Math.log(1 - confidence) / Math.log1p(-rate));
}

/** Chance of at most so many failures: the binomial distribution, summed from its largest term down. */
function atMost(failures: number, trials: number, rate: number): number {
  const odds = (1 - rate) / rate;
  let [sum, term] = [1, 1];
  // Above the mean the terms only shrink; the bound is looked for where `failures` is below it.
  for (let k = failures; k > 0 && term > sum * 1e-12; k--) {
    term *= (k / (trials - k + 1)) * odds;
    sum += term;
  }
  return sum * Math.exp(logTerm(failures, trials, rate));
}

function logTerm(failures: number, trials: number, rate: number): number {
  return (
    logFactorial(trials) -
    logFactorial(failures) -
    logFactorial(trials - failures) +
    failures * Math.log(rate) +
    (trials - failures) * Math.log1p(-rate)
  );
}

/** Stirling's series; exact enough (1e-10) from 20 on, summed below. */
function logFactorial(n: number): number {
  if (n < 20) {
    let sum = 0;
    for (let k = 2; k <= n; k++) sum += Math.log(k);
    return sum;
  }
  const x = n + 1;
  return (
    (x - 0.5) * Math.log(x) -
    x +
    0.5 * Math.log(2 * Math.PI) +
    1 / (12 * x) -
    1 / (360 * x ** 3) +
    1 / (1260 * x ** 5)
  );
}
