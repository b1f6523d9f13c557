// The phases of a capability and every move between them, as a total table.
//
//   monolith ⇄ sync ⇄ shadow ⇄ canary ⇄ cutover → retired
//                               ↺ weight
//
// Invariants, and what enforces them:
//  1. there is one owner of the moving data in each phase: `ownerOf`;
//  2. whatever takes the right to write from somebody is a switch: `takesOwnership`;
//  3. nothing leads out of `retired`: the table;
//  4. leaving `cutover` backwards lands in `canary` with weight 0: the table.

export const PHASES = ['monolith', 'sync', 'shadow', 'canary', 'cutover', 'retired'] as const;
export type Phase = (typeof PHASES)[number];

export type Owner = 'monolith' | 'service';

/** What an operator may ask for. `weight` changes the share of reads inside `canary`. */
export type Event = 'advance' | 'rollback' | 'weight';

export type Outcome =
  | { readonly kind: 'move'; readonly to: Phase }
  | { readonly kind: 'refused'; readonly why: string };

const to = (phase: Phase): Outcome => ({ kind: 'move', to: phase });
const refused = (why: string): Outcome => ({ kind: 'refused', why });
const noWeight = refused('a weight exists in canary only');

export const TRANSITIONS: Readonly<Record<Phase, Readonly<Record<Event, Outcome>>>> = {
  monolith: {
    advance: to('sync'),
    rollback: refused('the monolith is where it began'),
    weight: noWeight,
  },
  sync: { advance: to('shadow'), rollback: to('monolith'), weight: noWeight },
  shadow: { advance: to('canary'), rollback: to('sync'), weight: noWeight },
  canary: { advance: to('cutover'), rollback: to('shadow'), weight: to('canary') },
  cutover: { advance: to('retired'), rollback: to('canary'), weight: noWeight },
  retired: {
    advance: refused('the migration of this capability is over'),
    rollback: refused('retired has given up the way back'),
    weight: noWeight,
  },
};

/** Who owns the columns that move, and the existence of rows, in this phase. */
export function ownerOf(phase: Phase): Owner {
  return phase === 'cutover' || phase === 'retired' ? 'service' : 'monolith';
}

/** Whether a move between two phases is a switch of ownership. */
export function takesOwnership(from: Phase, next: Phase): boolean {
  return ownerOf(from) !== ownerOf(next);
}

export interface Flows {
  /** Sync to: monolith → service. */
  readonly to: boolean;
  /** Sync back: service → monolith. */
  readonly back: boolean;
}

/** Which flows run in a phase. A capability without tables has none. */
export function flowsOf(
  phase: Phase,
  capability: { hasTables: boolean; leaves: 'nothing' | 'copy' },
): Flows {
  if (!capability.hasTables) return { to: false, back: false };
  switch (phase) {
    case 'monolith':
      return { to: false, back: false };
    case 'sync':
    case 'shadow':
      return { to: true, back: false };
    case 'canary':
    case 'cutover':
      return { to: true, back: true };
    case 'retired':
      return capability.leaves === 'copy' ? { to: true, back: true } : { to: false, back: false };
  }
}
