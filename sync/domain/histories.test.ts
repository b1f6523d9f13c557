// All histories of two writers on one row, up to five operations, with every interleaving of what
// travels between them: the decisions are the real ones (verdict.ts), the two databases and the two
// streams are modelled. Wherever everything has arrived, both sides are equal.
import { expect, test } from '@jest/globals';
import type { Conflict, ConflictPolicy } from '../../control/domain/conflicts.ts';
import { judgementOf, lands, standingOf, verdictOf } from './verdict.ts';

/** 0: there is no row. */
type Row = number;

interface Write {
  readonly id: number;
  readonly before: Row;
  readonly after: Row;
  readonly time: number;
  /** Its client had seen all that the owner ever did, and nothing that the owner refused. */
  readonly clean: boolean;
}

/** What the owner's stream says in one transaction. */
interface Said {
  readonly judged?: number;
  readonly row: Row;
  readonly reset: boolean;
  /** Read again behind it: nothing was locked. */
  readonly unlocked: boolean;
}

interface State {
  readonly left: number;
  readonly clock: number;
  readonly owner: Row;
  /** When the owner's row was written, or deleted; 0: not known. */
  readonly ownerTime: number;
  /** The owner's last act was an insert: another session may not see it yet. */
  readonly unseen: boolean;
  readonly service: Row;
  readonly flights: readonly number[];
  readonly awaited: boolean;
  readonly toOwner: readonly (Write | 'taken')[];
  readonly toService: readonly Said[];
  readonly rereads: boolean;
}

const START: State = {
  left: 0,
  clock: 1,
  owner: 0,
  ownerTime: 0,
  unseen: false,
  service: 0,
  flights: [],
  awaited: false,
  toOwner: [],
  toService: [],
  rereads: false,
};

interface Tally {
  states: number;
  quiet: number;
  conflicts: number;
  overruled: number;
  accepted: number;
  echoes: number;
}

function emptyTally(): Tally {
  return { states: 0, quiet: 0, conflicts: 0, overruled: 0, accepted: 0, echoes: 0 };
}

interface Writers {
  readonly owner: boolean;
  readonly service: boolean;
}

/** Few, so that they come again: a row that looks unchanged may not be. */
const VALUES: readonly Row[] = [0, 1, 2];

const BOTH: Writers = { owner: true, service: true };

/** Walks every state that can be reached from a row or none, and checks those where all has arrived. */
function explore(policy: ConflictPolicy, length: number, writers = BOTH): Tally {
  const tally = emptyTally();
  const seen = new Set<string>();
  const open: State[] = [0, 1].map((row) => ({
    ...START,
    left: length,
    owner: row,
    service: row,
  }));
  for (let state = open.pop(); state; state = open.pop()) {
    const name = JSON.stringify(state);
    if (seen.has(name)) continue;
    seen.add(name);
    const quiet = state.toOwner.length === 0 && state.toService.length === 0 && !state.rereads;
    if (quiet) {
      tally.quiet += 1;
      if (state.owner !== state.service || state.flights.length > 0) throw new Error(name);
    }
    open.push(...next(state, policy, writers, tally));
  }
  tally.states = seen.size;
  return tally;
}

function next(state: State, policy: ConflictPolicy, writers: Writers, tally: Tally): State[] {
  const states: State[] = [];
  if (state.left > 0) {
    const wrote = { ...state, left: state.left - 1, clock: state.clock + 1 };
    if (writers.owner)
      for (const row of othersThan(state.owner)) states.push(ownerWrites(wrote, row));
    // What changes nothing is a write too.
    if (writers.service)
      for (const row of [
        ...othersThan(state.service),
        ...(state.service > 0 ? [state.service] : []),
      ])
        states.push(serviceWrites(wrote, row));
  }
  const [write, ...toOwner] = state.toOwner;
  if (write === 'taken') states.push({ ...state, toOwner, awaited: false });
  else if (write) {
    states.push(judge({ ...state, toOwner }, write, state.owner, policy, tally));
    // A row that another session has inserted and not yet made visible blocks whoever inserts it too.
    if (state.unseen) {
      const judged = judge({ ...state, toOwner }, write, 0, policy, tally);
      if (judged.owner === state.owner) states.push(judged);
    }
  }
  const [said, ...toService] = state.toService;
  if (said) states.push(arrive({ ...state, toService }, said));
  if (state.rereads)
    states.push({
      ...state,
      rereads: false,
      toService: [...state.toService, { row: state.owner, reset: false, unlocked: false }],
    });
  return states;
}

function othersThan(row: Row): Row[] {
  return VALUES.filter((one) => one !== row);
}

function ownerWrites(state: State, row: Row): State {
  return {
    ...state,
    owner: row,
    ownerTime: state.clock,
    unseen: state.owner === 0,
    // Whatever is on its way was based on something older.
    toOwner: state.toOwner.map((one) => (one === 'taken' ? one : { ...one, clean: false })),
    toService: [...state.toService, { row, reset: false, unlocked: false }],
  };
}

function serviceWrites(state: State, row: Row): State {
  const clean =
    state.toService.length === 0 &&
    !state.rereads &&
    state.toOwner.every((one) => one === 'taken' || one.clean);
  const id = state.clock;
  return {
    ...state,
    service: row,
    flights: [...state.flights, id],
    toOwner: [
      ...state.toOwner,
      { id, before: state.service, after: row, time: state.clock, clean },
    ],
  };
}

/** `row` is the owner's, as the judging session sees it. */
function judge(given: State, write: Write, row: Row, policy: ConflictPolicy, tally: Tally): State {
  const state = { ...given, unseen: false };
  const standing = standingOf({
    changes: write.before !== write.after,
    asBefore: row === write.before,
    asAfter: row === write.after,
  });
  let verdict: 'owner' | 'service' = 'owner';
  if (standing === 'conflict') {
    tally.conflicts += 1;
    if (write.clean) throw new Error(`a conflict with nobody: ${JSON.stringify(given)}`);
    verdict = verdictOf(policy, conflictOf(write, row), {
      incoming: write.time,
      owner: state.ownerTime === 0 ? null : state.ownerTime,
    });
    if (verdict === 'service') tally.overruled += 1;
  }
  const judgement = judgementOf(standing, verdict, state.awaited);
  if (judgement.effect === 'apply') {
    tally.accepted += 1;
    tally.echoes += 1;
    return {
      ...state,
      owner: write.after,
      ownerTime: write.time,
      toService: [
        ...state.toService,
        { judged: write.id, row: write.after, reset: false, unlocked: false },
      ],
    };
  }
  const reset = judgement.answer === 'reset';
  return {
    ...state,
    awaited: state.awaited || (reset && row > 0),
    toService: [...state.toService, { judged: write.id, row, reset, unlocked: row === 0 }],
  };
}

function conflictOf(write: Write, owner: Row): Conflict {
  const image = (row: Row): { v: string } | null => (row === 0 ? null : { v: String(row) });
  return {
    table: 'public.t',
    key: { id: '1' },
    owner: image(owner),
    incoming: image(write.after),
    before: image(write.before),
  };
}

function arrive(state: State, said: Said): State {
  const judged = state.flights.filter((one) => one !== said.judged);
  const flights = said.reset ? [] : judged;
  return {
    ...state,
    // By the time that it has travelled, it is visible.
    unseen: state.unseen && state.toService.length > 0,
    flights,
    service: lands(flights.length > 0) ? said.row : state.service,
    rereads: state.rereads || said.unlocked,
    toOwner: said.reset && said.row > 0 ? [...state.toOwner, 'taken'] : state.toOwner,
  };
}

/** The team's own: the greater value stands, whoever wrote it, and a row rather than none. */
const greater = ({ owner, incoming }: Conflict): 'owner' | 'service' =>
  Number(incoming?.['v'] ?? 0) > Number(owner?.['v'] ?? 0) ? 'service' : 'owner';

const LENGTH = Number(process.env['HISTORIES'] ?? 5);

test.each<[string, ConflictPolicy]>([
  ['owner-wins', 'owner-wins'],
  ['last-writer-wins', 'last-writer-wins'],
  ['a function', greater],
  ['a function that always says service', () => 'service'],
])('all two-writer histories converge: %s', (_, policy) => {
  const tally = explore(policy, LENGTH);
  expect(tally.quiet).toBeGreaterThan(10);
  expect(tally.states).toBeGreaterThan(10_000);
  expect(tally.conflicts).toBeGreaterThan(100);
  // Each change that was applied comes back once.
  expect(tally.echoes).toBe(tally.accepted);
  if (policy === 'owner-wins') expect(tally.overruled).toBe(0);
  else expect(tally.overruled).toBeGreaterThan(10);
});

test('where only the service writes there is no conflict, whatever values come again', () => {
  const tally = explore('owner-wins', LENGTH + 2, { owner: false, service: true });
  expect(tally.conflicts).toBe(0);
  expect(tally.accepted).toBeGreaterThan(100);
});

test('on a hot row only what was under way is refused: nothing that is written on top of a reset is', () => {
  const tally = emptyTally();
  const hops = 5;
  let state: State = { ...START, owner: 1, service: 1 };
  const toOwner = (): void => {
    const [write, ...rest] = state.toOwner;
    if (write === 'taken') state = { ...state, toOwner: rest, awaited: false };
    else if (write)
      state = judge({ ...state, toOwner: rest }, write, state.owner, 'owner-wins', tally);
  };
  const toService = (): void => {
    const [said, ...rest] = state.toService;
    if (said) state = arrive({ ...state, toService: rest }, said);
  };
  for (let tick = 1; tick <= 200; tick++) {
    state = { ...state, clock: state.clock + 1 };
    if (tick === 50) state = ownerWrites(state, 1_000);
    state = serviceWrites(state, 1_000 + tick);
    while (state.toOwner.length > hops) toOwner();
    while (state.toService.length > hops) toService();
  }
  while (state.toOwner.length > 0 || state.toService.length > 0) {
    toOwner();
    toService();
  }
  expect(state.service).toBe(1_200);
  expect(state.owner).toBe(state.service);
  expect(tally.conflicts).toBeGreaterThan(hops);
  expect(tally.conflicts).toBeLessThan(3 * hops);
});
