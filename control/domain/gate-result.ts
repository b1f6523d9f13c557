// What a gate says: its figure, its limit, and whether that is a pass.
export type Verdict = 'pass' | 'fail' | 'inconclusive';

export interface GateResult {
  readonly gate: string;
  readonly verdict: Verdict;
  readonly figure: string;
  readonly limit: string;
  /** What the figure is made of, where that helps: route and field of a mismatch, a flow's error. */
  readonly note?: string;
  /** What lets it pass, where that is known. */
  readonly remedy?: string;
}
