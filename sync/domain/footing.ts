// Where a relay may go on: what its topic ends with held against what its slot has confirmed. A relay
// confirms only what a record of the topic says is there, so:
//
//  - Where the topic says less than the slot has confirmed, it has lost what was acknowledged.
//  - Where it says as much, the last transaction that it says is the one before the slot's next.
//  - Where it says more, the slot sends again what is there; if that does not come, the source has
//    another history now: it was set back, and has gone on differently.
//  - What stands there from before the slot was made must lie before it in numbers too.
import type { Lsn, Position } from '../../core/postgres/lsn.ts';
import type { RelayLife } from '../../control/domain/relay-life.ts';
import type { Footing } from './debezium/chain.ts';
import type { Mark } from './debezium/position.ts';

export interface SlotStanding {
  readonly life: RelayLife;
  /** The server forgets nothing that commits behind it. */
  readonly confirmed: Lsn;
  readonly timeline: number;
}

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

/** Whether records from further back could change anything. */
export function isSettled({ life, confirmed }: SlotStanding, marks: readonly Mark[]): boolean {
  return marks.some((mark) => mark.life === life.name && mark.completeTo >= confirmed);
}

/** `marks` are those of the end of the topic, from where they settle it, or all. */
export function stand(
  { life, confirmed, timeline }: SlotStanding,
  marks: readonly Mark[],
): Verdict {
  const foreign = furthest(marks.filter((mark) => mark.life !== life.name));
  if (foreign && foreign.position.commitLsn > life.begins)
    return { kind: 'foreign', last: foreign };
  const own = marks.filter((mark) => mark.life === life.name);
  const last = furthest(own);
  if (own.some(({ completeTo }) => completeTo >= confirmed) && last) {
    const comesAgain = last.endLsn > confirmed;
    const { position, endLsn } = last;
    // Of what comes again, only the first is not known to follow the one before it.
    const after = comesAgain ? confirmed : position.commitLsn;
    const footing = { life: life.name, after, last: { position, endLsn } };
    return { kind: 'goes on', footing, last: position, comesAgain };
  }
  if (confirmed > life.begins) return { kind: 'lost', last };
  const position = { timeline, commitLsn: life.begins, seq: 0 };
  const footing = {
    ...{ life: life.name, after: life.begins },
    last: { position, endLsn: life.begins },
  };
  return { kind: 'goes on', footing, last: undefined, comesAgain: false };
}

function furthest(marks: readonly Mark[]): Mark | undefined {
  return marks.reduce<Mark | undefined>(
    (last, mark) => (last && last.position.commitLsn >= mark.position.commitLsn ? last : mark),
    undefined,
  );
}
