// Where a relay may go on: what its topic ends with held against what its slot has confirmed. A relay
// confirms only what a record of the topic says is there, so:
//
//  - Where the topic says less than the slot has confirmed, it has lost what was acknowledged.
//  - Where it says as much, the last transaction that it says is the one before the slot's next.
//  - Where it says more, the slot sends again what is there; if that does not come, the source has
//    another history now: it was set back, and has gone on differently.
//  - Where it says nothing any more, because retention has deleted all, the relay was away for longer
//    than that. What the last one reported says the same, where it is as far as the slot; if not, who has
//    read the topic without a gap has all that was there, and others are told what they lack.
//  - What stands there from before the slot was made must lie before it in numbers too, or be of an
//    older timeline: no flow takes that, whatever its numbers are.
import { formatLsn, parseLsn, type Lsn, type Position } from '../../core/postgres/lsn.ts';
import type { RelayLife } from '../../control/domain/relay-life.ts';
import type { ChainEnd, Footing } from './debezium/chain.ts';
import { formatBehind, parseBehind, type Mark } from './debezium/position.ts';

export interface SlotStanding {
  readonly life: RelayLife;
  /** The server forgets nothing that commits behind it. */
  readonly confirmed: Lsn;
  readonly timeline: number;
  /** A transaction that the topic had, as the last relay reported it. */
  readonly reported?: Lsn | undefined;
  readonly chain?: ReportedChain | undefined;
}

/** What the last relay reported that its next transaction would come behind, and how far it was then. */
export interface ReportedChain extends ChainEnd {
  readonly confirmed: Lsn;
}

/** As it is reported. */
export function formatChain({ confirmed, life, after, behind }: ReportedChain): string {
  return `${formatLsn(confirmed)} ${life} ${formatLsn(after)} ${formatBehind(behind) ?? ''}`.trim();
}

/** Undefined where it is none. */
export function parseChain(text: string): ReportedChain | undefined {
  const [confirmed, life, after, behind] = text.split(' ');
  if (confirmed === undefined || life === undefined || after === undefined) return undefined;
  return {
    ...{ confirmed: parseLsn(confirmed), life, after: parseLsn(after) },
    behind: parseBehind(behind),
  };
}

/** What is known of a topic's end. */
export interface Ending {
  /** From where they settle it, or all. */
  readonly marks: readonly Mark[];
  /** Its first records have been deleted. */
  readonly isCut: boolean;
}

/** Whether what `depth` records from the end say is enough. */
export type Settles = (marks: readonly Mark[], depth: bigint) => boolean;

export type Verdict =
  | {
      readonly kind: 'goes on';
      readonly footing: Footing;
      /** What the topic ends with; must come again where it lies behind what is confirmed. */
      readonly last: Position | undefined;
      readonly comesAgain: boolean;
    }
  /** The topic ends with changes of another life that lie behind the beginning of this one. */
  | { readonly kind: 'foreign'; readonly last: Mark }
  /** The topic lacks what was confirmed. */
  | { readonly kind: 'lost'; readonly last: Mark | undefined };

/**
 * Whether records from further back could change anything; `depth` is how many were read. A fresh slot has
 * nothing there: what it is asked is whether something lies behind its beginning. Of that the last life's
 * end tells, for lives follow each other in numbers; and what relays have written again at the end of it,
 * each as much as was on its way, does not reach back that far.
 */
export function isSettled(standing: SlotStanding, marks: readonly Mark[], depth: bigint): boolean {
  const { life, confirmed } = standing;
  if (marks.some((mark) => mark.life === life.name && mark.completeTo >= confirmed)) return true;
  if (foreignOf(standing, marks)) return true;
  return confirmed <= life.begins && depth >= REPEATED_AT_MOST && marks.length > 0;
}

/** Records; some times what a relay has on its way at once (outlet.ts). */
const REPEATED_AT_MOST = 500_000n;

export function stand(standing: SlotStanding, { marks, isCut }: Ending): Verdict {
  const { life, confirmed } = standing;
  const foreign = foreignOf(standing, marks);
  if (foreign) return { kind: 'foreign', last: foreign };
  const own = marks.filter((mark) => mark.life === life.name);
  const last = furthest(own);
  if (own.some(({ completeTo }) => completeTo >= confirmed) && last) {
    const comesAgain = last.endLsn > confirmed;
    const { position, endLsn, after: before = position.commitLsn, gone } = last;
    // Of what comes again, only the first is not known to follow the one before it.
    const after = comesAgain ? confirmed : before;
    const { behind } = last;
    const footing = { life: life.name, after, behind, last: { position, endLsn }, gone };
    return { kind: 'goes on', footing, last: position, comesAgain };
  }
  if (confirmed <= life.begins) return afresh(standing, life.begins);
  if (last || !isCut) return { kind: 'lost', last };
  return afresh(standing, confirmed);
}

/** Nothing of this life is there, or nothing any more. */
function afresh(standing: SlotStanding, gone: Lsn): Verdict {
  const { life, timeline, chain, reported = 0n } = standing;
  if (chain && isWhole(standing, chain)) {
    const { after, behind } = chain;
    const last = { position: { timeline, commitLsn: after, seq: 0 }, endLsn: after };
    const footing = { life: life.name, after, behind, last };
    return { kind: 'goes on', footing, last: undefined, comesAgain: false };
  }
  // Never behind what is to come: a report may be of another life, or of what comes again.
  const known = reported < gone ? reported : gone;
  const after = known > life.begins ? known : life.begins;
  const position = { timeline, commitLsn: after, seq: 0 };
  const footing = { life: life.name, after, last: { position, endLsn: after } };
  return {
    kind: 'goes on',
    footing: gone > life.begins ? { ...footing, gone } : footing,
    ...{ last: undefined, comesAgain: false },
  };
}

/** Whether a report knows of all that the slot has confirmed, and of nothing that comes again. */
function isWhole({ life, confirmed }: SlotStanding, chain: ReportedChain): boolean {
  return (
    chain.life === life.name &&
    chain.confirmed >= confirmed &&
    chain.after <= confirmed &&
    chain.after >= life.begins
  );
}

/** What no flow could tell from the changes that are to come. */
function foreignOf({ life }: SlotStanding, marks: readonly Mark[]): Mark | undefined {
  const last = furthest(
    marks.filter((mark) => mark.life !== life.name && mark.position.timeline >= life.timeline),
  );
  return last && last.position.commitLsn > life.begins ? last : undefined;
}

function furthest(marks: readonly Mark[]): Mark | undefined {
  return marks.reduce<Mark | undefined>(
    (last, mark) => (last && last.position.commitLsn >= mark.position.commitLsn ? last : mark),
    undefined,
  );
}
