// Runs contenders side by side: each case's contenders take turns in every round, so that whatever
// else the machine does hits all of them, and only ratios within one run are worth quoting. A figure
// is the median over the rounds; a ratio is the median of the rounds' own ratios, ours against the
// other, turned so that more is always better for us.

export interface Contender {
  readonly name: string;
  /** Works for about `ms` milliseconds and returns the case's figure, for example requests per second. */
  measure(ms: number): Promise<number>;
}

export interface Case {
  readonly name: string;
  /** Of the figures: `req/s`, `rows/s`, `ms`. */
  readonly unit: string;
  readonly better: 'more' | 'less';
  readonly ours: Contender;
  readonly others: readonly Contender[];
  /** The least that our ratio to a contender should be, by its name. Shown, not enforced. */
  readonly wanted?: Readonly<Record<string, number>> | undefined;
  /** Where the plan's is too short: processes that have stood by for long make their code fast anew. */
  readonly warmUpMs?: number;
}

export interface Plan {
  readonly rounds: number;
  readonly warmUpMs: number;
  readonly roundMs: number;
}

/** What `--json` writes, exactly. */
export interface Report {
  /** `<case> / <contender>` with ours too, in the case's unit. */
  readonly figures: Record<string, number>;
  /** `<case> / <contender>`; more is better for us. */
  readonly ratios: Record<string, number>;
}

/** Measures every case; `progress` hears of each figure. */
export async function runCases(
  cases: readonly Case[],
  plan: Plan,
  progress: (line: string) => void = () => undefined,
): Promise<Report> {
  const report: Report = { figures: {}, ratios: {} };
  for (const one of cases) {
    const contenders = [one.ours, ...one.others];
    const samples = new Map<string, number[]>(contenders.map(({ name }) => [name, []]));
    for (const contender of contenders) await contender.measure(one.warmUpMs ?? plan.warmUpMs);
    for (let round = 0; round < plan.rounds; round++)
      for (const contender of turn(contenders, round)) {
        const figure = await contender.measure(plan.roundMs);
        samples.get(contender.name)?.push(figure);
        progress(
          `${one.name}: round ${round + 1}, ${contender.name}: ${round1(figure)} ${one.unit}`,
        );
      }
    Object.assign(report.figures, figuresOf(one, samples));
    Object.assign(report.ratios, ratiosOf(one, samples));
  }
  return report;
}

/** The contenders in another order each round, so that none always runs after the same one. */
export function turn<T>(items: readonly T[], round: number): T[] {
  const by = items.length === 0 ? 0 : round % items.length;
  return [...items.slice(by), ...items.slice(0, by)];
}

export function figuresOf(
  one: Case,
  samples: ReadonlyMap<string, readonly number[]>,
): Record<string, number> {
  return Object.fromEntries(
    [one.ours, ...one.others].map(({ name }) => [
      `${one.name} / ${name}`,
      round1(median(samples.get(name) ?? [])),
    ]),
  );
}

export function ratiosOf(
  one: Case,
  samples: ReadonlyMap<string, readonly number[]>,
): Record<string, number> {
  const ours = samples.get(one.ours.name) ?? [];
  return Object.fromEntries(
    one.others.map(({ name }) => {
      const theirs = samples.get(name) ?? [];
      const ratios = ours.map((figure, round) => {
        const other = theirs[round] ?? Number.NaN;
        return one.better === 'more' ? figure / other : other / figure;
      });
      return [`${one.name} / ${name}`, Math.round(median(ratios) * 1000) / 1000];
    }),
  );
}

/** The middle value; the mean of the two middle ones of an even number; NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  const lower = sorted[Math.ceil(sorted.length / 2) - 1] ?? Number.NaN;
  return (upper + lower) / 2;
}

/** The report as a table for people. */
export function table(cases: readonly Case[], report: Report): string {
  const rows = cases.flatMap((one) =>
    [one.ours, ...one.others].map(({ name }) => {
      const key = `${one.name} / ${name}`;
      const ratio = report.ratios[key];
      const wanted = one.wanted?.[name];
      return [
        one.name,
        name,
        `${String(report.figures[key] ?? '')} ${one.unit}`,
        ratio === undefined
          ? ''
          : `ours is ${ratio.toFixed(2)} of it${wanted === undefined ? '' : ` (wanted: ${wanted})`}`,
      ];
    }),
  );
  const all = [['case', 'contender', 'figure', 'ratio (more is better for us)'], ...rows];
  const widths = [0, 1, 2, 3].map((column) =>
    Math.max(...all.map((row) => row[column]?.length ?? 0)),
  );
  return all
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function round1(figure: number): number {
  return Math.round(figure * 10) / 10;
}
