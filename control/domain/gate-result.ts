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
  /** It is told, and refuses nothing: what it judges is not needed for this move, but for a later one. */
  readonly advisory?: true;
}

export function gate(name: string, verdict: Verdict, figure: string, limit: string): GateResult {
  return { gate: name, verdict, figure, limit };
}

/** Whether a move may not be made for it. */
export function refuses({ verdict, advisory }: GateResult): boolean {
  return verdict !== 'pass' && advisory !== true;
}

/** What is told and does not pass: the move is made all the same. */
export function warns({ verdict, advisory }: GateResult): boolean {
  return verdict !== 'pass' && advisory === true;
}
