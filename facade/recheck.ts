// A difference is looked at again, because data on its way is no bug, and neither is what the control
// does not reproduce itself. Each round waits until the service has everything that the control's
// answer could show, asks the service, and asks the control once more. A place is
//
//   firm    when the control has not moved there meanwhile and the service differs still,
//   moving  when the control differs from itself.
//
// Reported is what the service has wrong in every round and firm in at least half of them. Before a
// kind of difference is reported for the first time, the control must prove that it stands still
// there: it is asked several times more. What the control moves itself is noise, or, where it moved
// only now and then, undecided.
import type { Asked } from './asked.ts';
import type { Answer } from './domain/compare.ts';
import { kindOf, mirrorOf, type Difference } from './domain/difference-kind.ts';
import type { RouteNoise } from './domain/noise.ts';
import { dropped, type Verdict } from './domain/verdict.ts';

export interface Recheck {
  /** The answer that the client got. */
  readonly control: Answer;
  readonly askControl: () => Promise<Asked>;
  readonly askCandidate: () => Promise<Asked>;
  readonly differ: (control: Answer, candidate: Answer) => Promise<Difference[]>;
  /** Called with an answer that is not needed any more. */
  readonly forget: (answer: Answer) => void;
  /** Waits for the watermark; undefined when the capability has no data to wait for. */
  readonly caughtUp: (() => Promise<boolean>) | undefined;
  readonly isOver: () => boolean;
  readonly noise: RouteNoise;
  /** Goes through every round even when only known noise is left, to learn whether it hides a fault. */
  readonly thorough: boolean;
}

const ROUNDS_WITH_TABLES = 3;
const ROUNDS_WITHOUT = 2;
/** Times that the control must have stood still before a new kind of difference is believed. */
const PROOF = 12;

/** Asks again until the difference is gone, excused, or proven. */
export async function recheck(given: Recheck): Promise<Verdict> {
  const rounds = given.caughtUp ? ROUNDS_WITH_TABLES : ROUNDS_WITHOUT;
  const seen = new Sightings(given.noise);
  let { control } = given;
  for (let round = 0; round < rounds; round++) {
    if (given.caughtUp && !(await given.caughtUp()))
      return dropped(given.isOver() ? 'over' : 'not-synced');
    const looked = await look(given, control);
    if (looked.kind !== 'round') return looked;
    control = looked.control;
    const isSame = seen.add(looked);
    if (isSame || (!given.thorough && seen.onlyNoise(looked))) return seen.excused(looked);
  }
  return conclude(given, seen, control);
}

interface Round {
  readonly kind: 'round';
  /** Control before, candidate. */
  readonly before: readonly Difference[];
  /** Control afterwards, candidate. */
  readonly after: readonly Difference[];
  /** Control before, control afterwards. */
  readonly moved: readonly Difference[];
  readonly control: Answer;
}

async function look(given: Recheck, control: Answer): Promise<Round | Verdict> {
  if (given.isOver()) return dropped('over');
  const candidate = await given.askCandidate();
  const again = await given.askControl();
  if (given.isOver()) return dropped('over');
  const failed = unusable(again, 'control-failed') ?? unusable(candidate, undefined);
  if (failed || again.kind !== 'answer') return failed ?? dropped('control-failed');
  const moved = await given.differ(control, again.answer);
  const before = await differences(given, control, candidate);
  const after = moved.length === 0 ? before : await differences(given, again.answer, candidate);
  given.forget(control);
  if (candidate.kind === 'answer') given.forget(candidate.answer);
  return { kind: 'round', before, after, moved, control: again.answer };
}

function unusable(asked: Asked, whenSilent: 'control-failed' | undefined): Verdict | undefined {
  if (asked.kind === 'too-large') return dropped('too-large');
  if (asked.kind === 'no-room') return dropped('memory');
  return asked.kind === 'silent' && whenSilent ? dropped(whenSilent) : undefined;
}

async function differences(
  given: Recheck,
  control: Answer,
  candidate: Asked,
): Promise<readonly Difference[]> {
  if (candidate.kind === 'answer') return given.differ(control, candidate.answer);
  return [silence(control, candidate)];
}

/** How a candidate that gave no usable answer differs from one that did. */
export function silence(control: Answer, asked: Asked): Difference {
  const why = `no answer: ${asked.kind === 'silent' ? asked.why : asked.kind}`;
  return { path: 'status', at: 'status', control: control.status, candidate: why };
}

/** Reports what is wrong, once the control has proven to stand still where nobody knew it yet. */
async function conclude(given: Recheck, seen: Sightings, control: Answer): Promise<Verdict> {
  const { noise } = given;
  const { wrong, doubtful } = seen.suspects();
  let open = doubtful;
  let base = control;
  const isOpen = (one: Difference): boolean => !noise.isProven(kindOf(one));
  for (let time = 0; open.some(isOpen) && time < PROOF; time++) {
    const again = await given.askControl();
    if (given.isOver()) return dropped('over');
    const failed = unusable(again, 'control-failed');
    if (failed || again.kind !== 'answer') return failed ?? dropped('control-failed');
    const moved = await given.differ(base, again.answer);
    noise.learn(moved);
    // Others learn meanwhile: what has become noise is no fault, whoever has seen it move.
    open = open.filter(
      (one) => !noise.isNoise(kindOf(one)) && !moved.some((other) => covers(other, one)),
    );
    given.forget(base);
    base = again.answer;
  }
  for (const one of open) noise.prove(kindOf(one));
  return seen.verdict([...wrong, ...open]);
}

interface Sighting {
  last: Difference;
  /** Rounds in which it was found, the last of them, and those in which it was firm. */
  found: number;
  round: number;
  firm: number;
}

/** What all rounds have shown, place by place. */
class Sightings {
  readonly #noise: RouteNoise;
  readonly #places = new Map<string, Sighting>();
  readonly #weights = new Map<string, { firm: number; agreed: number }>();
  #rounds = 0;

  constructor(noise: RouteNoise) {
    this.#noise = noise;
  }

  /** Takes a round in; true when the candidate agreed with one of the control's answers. */
  add({ before, after, moved }: Round): boolean {
    this.#rounds += 1;
    this.#noise.learn(moved);
    for (const one of before) {
      const known = this.#places.get(one.at);
      const place: Sighting = known ?? { last: one, found: 0, round: 0, firm: 0 };
      place.last = one;
      place.round = this.#rounds;
      place.found += 1;
      if (!moved.some((other) => covers(other, one))) {
        place.firm += 1;
        this.#weight(kindOf(one)).firm += 1;
      }
      if (!known) this.#places.set(one.at, place);
    }
    const [left, right] = [new Set(before.map(placeOf)), new Set(after.map(placeOf))];
    for (const one of moved)
      if (!left.has(placeOf(one)) || !right.has(placeOf(one)))
        this.#weight(kindOf(one)).agreed += 1;
    return before.length === 0 || after.length === 0;
  }

  onlyNoise({ before, after }: Round): boolean {
    const isNoise = (one: Difference): boolean => this.#noise.isNoise(kindOf(one));
    return before.every(isNoise) || after.every(isNoise);
  }

  /** The candidate is right, but for noise. */
  excused({ before, after }: Round): Verdict {
    this.#weigh();
    const fewer = before.length <= after.length ? before : after;
    return { kind: 'matched', noise: new Set(fewer.map(kindOf)).size };
  }

  /** Places that are wrong, and those that would be if the control stands still there. */
  suspects(): { wrong: Difference[]; doubtful: Difference[] } {
    this.#weigh();
    const wrong: Difference[] = [];
    const doubtful: Difference[] = [];
    for (const { last, found, firm } of this.#places.values()) {
      const kind = kindOf(last);
      if (this.#noise.isWrong(kind)) {
        if (firm > 0) wrong.push(last);
      } else if (found === this.#rounds && firm * 2 >= this.#rounds && !this.#noise.isNoise(kind))
        (this.#noise.isProven(kind) ? wrong : doubtful).push(last);
    }
    return { wrong, doubtful };
  }

  verdict(reported: readonly Difference[]): Verdict {
    const told = new Set(reported);
    const excused = new Set<string>();
    let undecided = false;
    for (const { last, found, round, firm } of this.#places.values()) {
      // What differed in an earlier round only has arrived meanwhile.
      if (told.has(last) || round < this.#rounds) continue;
      const kind = kindOf(last);
      if (this.#noise.isNoise(kind) || (found === this.#rounds && firm === 0)) excused.add(kind);
      else undecided = true;
    }
    if (reported.length > 0)
      return { kind: 'mismatched', differences: reported, noise: excused.size };
    return undecided ? dropped('in-flux') : { kind: 'matched', noise: excused.size };
  }

  #weight(kind: string): { firm: number; agreed: number } {
    const known = this.#weights.get(kind) ?? { firm: 0, agreed: 0 };
    this.#weights.set(kind, known);
    return known;
  }

  #weigh(): void {
    for (const [kind, weight] of this.#weights) this.#noise.weigh(kind, weight);
    this.#weights.clear();
  }
}

/** A place and what is the matter there. */
function placeOf(difference: Difference): string {
  return `${difference.at}\n${kindOf(difference)}`;
}

/** Whether the control's own move makes a difference uncertain: the same place, or one above it. */
function covers(moved: Difference, one: Difference): boolean {
  // A shape is of all elements: that one of them has taken it says so as well.
  if (moved.at === one.at || (isOfAll(one) && moved.path === one.path)) {
    const kind = kindOf(one);
    return kindOf(moved) === kind || mirrorOf(moved) === kind;
  }
  // What was another thing altogether, or was not there, says nothing of what is inside it.
  if (['status', 'body', '$'].includes(moved.at) || one.at.startsWith(`${moved.at}.`)) return true;
  const array = /^(?:(.*)\.)?(?:length|order)$/.exec(moved.at);
  if (!array) return false;
  // An element that is known by its identity is the same one, wherever it has gone.
  const root = array[1] === undefined ? '' : `${array[1]}.`;
  return one.at.startsWith(root) && /^(\d+|order)(\.|$)/.test(one.at.slice(root.length));
}

/** Whether a place is every element of a list (shapes.ts), and not one of them. */
function isOfAll({ at }: Difference): boolean {
  return at.split('.').includes('*');
}
