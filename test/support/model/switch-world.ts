// What there is in the model of a switch (switch.ts): two databases with a log each, edges, writes and
// coordinators; and when two of such worlds are the same.
/** The two sides, monolith and service. */
export type Side = 0 | 1;

export interface Edge {
  /** Not there, registered, or serving under a state that it has read. */
  life: 'absent' | 'registered' | 'serving';
  /** Cut off from the control database, and past its lease. */
  isCut: boolean;
  version: number;
  isHolding: boolean;
  owner: Side;
  acknowledged: number;
}

export interface Write {
  stage: 'new' | 'forwarded' | 'committed' | 'answered' | 'failed';
  edge: number;
  to: Side;
  /** Its edge was cut off while it was under way: it may meet the fence. */
  mayFail: boolean;
}

export type Step =
  | 'begin'
  | 'list'
  | 'hold'
  | 'wait'
  | 'barrier'
  | 'fence'
  | 'drain'
  | 'flip'
  | 'unfence'
  | 'release'
  | 'undo'
  | 'let go';

export interface Coordinator {
  step: Step;
  epoch: number;
  /** Of the state as it last saw it. */
  version: number;
  from: Side;
  /** The edges that it waits for, where it does not look again. */
  listed: number[];
}

export interface World {
  version: number;
  epoch: number;
  owner: Side;
  isHolding: boolean;
  open: 'none' | 'running' | 'flipped';
  /** A flip is on its way to be committed, or not, and who sent it will not hear which: until then nobody changes the state. */
  inDoubt: boolean;
  /** Who an open switch takes the right from. */
  from: Side;
  isOpen: [boolean, boolean];
  epochs: [number, number];
  /** Writes (w0, w1) and barriers (b and an epoch), in commit order. */
  logs: [string[], string[]];
  /** How much of the log of each side the other one has applied. */
  applied: [number, number];
  edges: Edge[];
  writes: Write[];
  coordinators: Coordinator[];
  left: { switches: number; deaths: number; takeovers: number; cuts: number; lost: number };
}

export function other(side: Side): Side {
  return side === 0 ? 1 : 0;
}

/** What of a side's log has not come to the other. */
export function unapplied({ logs, applied }: World, side: Side): string[] {
  return logs[side].slice(applied[side]);
}

/** The edges that a coordinator waits for. */
export function living({ edges }: World): number[] {
  return [...edges.keys()].filter(
    (index) => edges[index]?.life !== 'absent' && !edges[index]?.isCut,
  );
}

/** Makes all worlds alike that differ in nothing that counts. */
export function plain(world: World): void {
  // What has been applied is past, and so is a write that has its answer.
  for (const side of [0, 1] as const) {
    world.logs[side] = unapplied(world, side);
    world.applied[side] = 0;
  }
  for (const write of world.writes)
    if (write.stage === 'answered') Object.assign(write, { edge: 0, to: 0, mayFail: false });
  // Of versions and epochs only the order counts.
  const { edges, coordinators } = world;
  const versions = ranks([
    world.version,
    ...edges.flatMap(({ version, acknowledged }) => [version, acknowledged]),
    ...coordinators.map(({ version }) => version),
  ]);
  world.version = versions(world.version);
  for (const edge of edges) {
    edge.version = versions(edge.version);
    edge.acknowledged = versions(edge.acknowledged);
  }
  for (const by of coordinators) by.version = versions(by.version);
  const marks = world.logs.flat().filter((entry) => entry.startsWith('b'));
  const epochs = ranks([
    ...[world.epoch, ...world.epochs, ...coordinators.map(({ epoch }) => epoch)],
    ...marks.map((mark) => Number(mark.slice(1))),
  ]);
  world.epoch = epochs(world.epoch);
  world.epochs = [epochs(world.epochs[0]), epochs(world.epochs[1])];
  for (const by of coordinators) by.epoch = epochs(by.epoch);
  for (const log of world.logs)
    for (const [at, entry] of log.entries())
      if (entry.startsWith('b')) log[at] = `b${epochs(Number(entry.slice(1)))}`;
}

/** For each of the numbers its place among them, from 1. */
function ranks(numbers: readonly number[]): (one: number) => number {
  const sorted = [...new Set(numbers)].sort((a, b) => a - b);
  return (one) => sorted.indexOf(one) + 1;
}
