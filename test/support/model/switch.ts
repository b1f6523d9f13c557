// The protocol by which ownership moves (control/switch-run.ts, facade/holds.ts, the fence), as a model
// small enough to look at every one of its states: two databases with a log each, two edges, clients'
// writes, and coordinators that may die, be stopped and wake up late. `omit` leaves one thing out of the
// protocol, to see that the model would find it missing.
import type { Action, Model } from './explore.ts';

/** The two sides, monolith and service. */
type Side = 0 | 1;

export type Omission =
  | 'the barrier in the transaction of the fence'
  | 'the drain before the flip'
  | 'the fence before the barrier'
  | 'the epoch in the databases'
  | 'the writes in flight before an acknowledgement'
  | 'the list of edges after the hold'
  | 'the version of the state'
  | 'the fence of the new owner until the flip';

interface Edge {
  /** Not there, registered, or serving under a state that it has read. */
  life: 'absent' | 'registered' | 'serving';
  /** Cut off from the control database, and past its lease. */
  isCut: boolean;
  version: number;
  isHolding: boolean;
  owner: Side;
  acknowledged: number;
}

interface Write {
  stage: 'new' | 'forwarded' | 'committed' | 'answered' | 'failed';
  edge: number;
  to: Side;
  /** Its edge was cut off while it was under way: it may meet the fence. */
  mayFail: boolean;
}

type Step =
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

interface Coordinator {
  step: Step;
  epoch: number;
  /** Of the state as it last saw it. */
  version: number;
  from: Side;
  /** The edges that it waits for, where it does not look again. */
  listed: number[];
}

interface World {
  version: number;
  epoch: number;
  owner: Side;
  isHolding: boolean;
  open: 'none' | 'running' | 'flipped';
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
  left: { switches: number; deaths: number; takeovers: number; cuts: number };
}

export interface Bounds {
  readonly writes: number;
  readonly switches: number;
  readonly deaths: number;
  readonly takeovers: number;
  readonly cuts: number;
  /** Edges that come while a switch may be under way. */
  readonly late: number;
}

export function switchModel(bounds: Bounds, omit?: Omission): Model<World> {
  const has = (part: Omission): boolean => omit !== part;
  const other = (side: Side): Side => (side === 0 ? 1 : 0);
  const begun = has('the fence of the new owner until the flip');
  const initial: World = {
    ...{ version: 1, epoch: 1, owner: 0, isHolding: false, open: 'none', from: 0 },
    ...{ isOpen: [true, !begun], epochs: [1, 1], logs: [[], []], applied: [0, 0] },
    edges: Array.from({ length: 2 }, (_, index) => ({
      life: index < 2 - bounds.late ? 'serving' : 'absent',
      ...{ isCut: false, version: 1, isHolding: false, owner: 0, acknowledged: 1 },
    })),
    writes: Array.from({ length: bounds.writes }, () => ({
      ...{ stage: 'new' as const, edge: 0, to: 0, mayFail: false },
    })),
    coordinators: [],
    left: { ...bounds },
  };

  /** Changes the state in one commit; false where it is not as the coordinator saw it last. */
  const change = (world: World, by: Coordinator, more: Partial<World>): boolean => {
    if (has('the version of the state') && world.version !== by.version) return false;
    Object.assign(world, more);
    world.version += 1;
    by.version = world.version;
    return true;
  };
  /** Whether a database still takes orders from this coordinator. */
  const guarded = (world: World, side: Side, { epoch }: Coordinator): boolean => {
    if (has('the epoch in the databases') && world.epochs[side] > epoch) return false;
    world.epochs[side] = Math.max(world.epochs[side], epoch);
    return true;
  };
  const unapplied = ({ logs, applied }: World, side: Side): string[] =>
    logs[side].slice(applied[side]);

  /** One step of a coordinator: false where it cannot be taken yet, 'over' where it was the last one. */
  const STEPS: Record<Step, (world: World, by: Coordinator) => Step | 'over' | 'waits'> = {
    begin: (world, by) =>
      change(world, by, { epoch: world.epoch + 1, open: 'running', from: world.owner })
        ? ((by.epoch = world.epoch),
          (by.from = world.from),
          has('the list of edges after the hold') ? 'hold' : 'list')
        : 'over',
    // Only where that is what is left out.
    list: (world, by) => {
      by.listed = living(world);
      return 'hold';
    },
    hold: (world, by) => (change(world, by, { isHolding: true }) ? 'wait' : 'over'),
    wait: (world, { version, listed }) => {
      const awaited = has('the list of edges after the hold') ? living(world) : listed;
      const all = awaited.every((index) => (world.edges[index]?.acknowledged ?? 0) >= version);
      if (!all) return 'waits';
      return has('the barrier in the transaction of the fence') &&
        has('the fence before the barrier')
        ? 'fence'
        : 'barrier';
    },
    // Only where something is left out: the mark in the log without the fence.
    barrier: (world, { epoch, from }) => {
      world.logs[from].push(`b${epoch}`);
      return has('the fence before the barrier') ? 'fence' : 'drain';
    },
    fence: (world, by) => {
      if (!guarded(world, by.from, by)) return 'over';
      world.isOpen[by.from] = false;
      if (!has('the fence before the barrier')) return 'flip';
      if (has('the barrier in the transaction of the fence'))
        world.logs[by.from].push(`b${by.epoch}`);
      return has('the drain before the flip') ? 'drain' : 'flip';
    },
    drain: (world, { from, epoch }) => {
      if (unapplied(world, from).includes(`b${epoch}`)) return 'waits';
      return has('the fence before the barrier') ? 'flip' : 'fence';
    },
    flip: (world, by) =>
      change(world, by, { owner: other(by.from), open: 'flipped' }) ? 'unfence' : 'over',
    unfence: (world, by) => {
      if (!guarded(world, other(by.from), by)) return 'over';
      world.isOpen[other(by.from)] = true;
      return 'release';
    },
    release: (world, by) => {
      change(world, by, { isHolding: false, open: 'none' });
      return 'over';
    },
    undo: (world, by) => {
      if (world.epoch !== by.epoch || !guarded(world, by.from, by)) return 'over';
      world.isOpen[by.from] = true;
      return 'let go';
    },
    'let go': (world, by) => {
      change(world, by, { isHolding: false, open: 'none' });
      return 'over';
    },
  };
  const living = ({ edges }: World): number[] =>
    [...edges.keys()].filter((index) => edges[index]?.life !== 'absent' && !edges[index]?.isCut);

  const actions: Action<World>[] = [];
  type Do = (world: World) => unknown;
  const act = (name: string, may: (world: World) => boolean, happen: Do): void => {
    actions.push({ name, isFault: false, may, happen: (world) => happen(world) !== false });
  };
  /** What chance has only so many of. */
  const fault = (
    name: string,
    of: 'deaths' | 'takeovers' | 'cuts',
    may: (world: World) => boolean,
    happen: Do,
  ): void => {
    actions.push({
      ...{ name, isFault: true, may: (world) => world.left[of] > 0 && may(world) },
      happen: (world) => {
        world.left[of] -= 1;
        return happen(world) !== false;
      },
    });
  };

  for (let index = 0; index < bounds.writes; index++) {
    const of = ({ writes }: World): Write => writes[index] as Write;
    for (const at of [0, 1])
      act(
        `edge ${at} forwards write ${index}`,
        (world) => {
          const { life, isHolding } = world.edges[at] as Edge;
          // Clients are alike: the second write does not come before the first.
          const first = index === 0 || world.writes[index - 1]?.stage !== 'new';
          return of(world).stage === 'new' && first && life === 'serving' && !isHolding;
        },
        (world) => {
          const { owner, isCut } = world.edges[at] as Edge;
          Object.assign(of(world), { stage: 'forwarded', edge: at, to: owner, mayFail: isCut });
        },
      );
    act(
      `write ${index} commits, or meets the fence`,
      (world) => of(world).stage === 'forwarded',
      (world) => {
        const write = of(world);
        write.stage = world.isOpen[write.to] ? 'committed' : 'failed';
        if (write.stage === 'committed') world.logs[write.to].push(`w${index}`);
      },
    );
    act(
      `write ${index} is answered`,
      (world) => of(world).stage === 'committed',
      (world) => {
        of(world).stage = 'answered';
      },
    );
  }
  for (const at of [0, 1]) {
    const of = ({ edges }: World): Edge => edges[at] as Edge;
    act(
      `edge ${at} registers`,
      (world) => of(world).life === 'absent',
      (world) => {
        Object.assign(of(world), { life: 'registered', acknowledged: 0 });
      },
    );
    act(
      `edge ${at} reads the state`,
      (world) => {
        const { life, isCut, version } = of(world);
        return life !== 'absent' && !isCut && (life === 'registered' || version !== world.version);
      },
      (world) => {
        const { version, isHolding, owner } = world;
        Object.assign(of(world), { life: 'serving', version, isHolding, owner });
      },
    );
    act(
      `edge ${at} acknowledges`,
      (world) => {
        const { life, isCut, acknowledged, version, isHolding } = of(world);
        if (life !== 'serving' || isCut || acknowledged >= version) return false;
        const isBusy = world.writes.some(
          ({ stage, edge }) => edge === at && (stage === 'forwarded' || stage === 'committed'),
        );
        return !(isHolding && isBusy && has('the writes in flight before an acknowledgement'));
      },
      (world) => {
        of(world).acknowledged = of(world).version;
      },
    );
    fault(
      `edge ${at} is cut off`,
      'cuts',
      (world) => of(world).life !== 'absent' && !of(world).isCut,
      (world) => {
        of(world).isCut = true;
        for (const write of world.writes)
          if (write.edge === at && write.stage === 'forwarded') write.mayFail = true;
      },
    );
    act(
      `edge ${at} is back, and reads the state`,
      (world) => of(world).isCut,
      (world) => {
        const { version, isHolding, owner } = world;
        Object.assign(of(world), { isCut: false, life: 'serving', version, isHolding, owner });
      },
    );
  }
  for (const side of [0, 1] as const)
    act(
      `side ${other(side)} applies`,
      (world) => world.applied[side] < world.logs[side].length,
      (world) => {
        world.applied[side] += 1;
      },
    );
  act(
    'a switch begins',
    ({ open, coordinators, left }) =>
      open === 'none' && coordinators.length === 0 && left.switches > 0,
    (world) => {
      world.left.switches -= 1;
      const { version, epoch, owner } = world;
      world.coordinators.push({ step: 'begin', epoch, version, from: owner, listed: [] });
    },
  );
  for (const index of [0, 1]) {
    act(
      `coordinator ${index} goes on`,
      ({ coordinators }) => index < coordinators.length,
      (world) => {
        const by = world.coordinators[index] as Coordinator;
        const step = STEPS[by.step](world, by);
        if (step === 'waits') return false;
        if (step === 'over') world.coordinators.splice(index, 1);
        else by.step = step;
        return true;
      },
    );
    act(
      `coordinator ${index} gives up waiting`,
      ({ coordinators }) =>
        ['wait', 'fence', 'drain', 'flip'].includes(coordinators[index]?.step ?? ''),
      (world) => {
        (world.coordinators[index] as Coordinator).step = 'undo';
      },
    );
    fault(
      `coordinator ${index} dies`,
      'deaths',
      ({ coordinators }) => index < coordinators.length,
      (world) => {
        world.coordinators.splice(index, 1);
      },
    );
  }
  const takeOver = (world: World): void => {
    const { version, from, open } = world;
    const step = open === 'flipped' ? 'unfence' : 'undo';
    const by: Coordinator = { step, epoch: 0, version, from, listed: [] };
    change(world, by, { epoch: world.epoch + 1 });
    by.epoch = world.epoch;
    world.coordinators.push(by);
  };
  act(
    'another takes over',
    ({ open, coordinators }) => open !== 'none' && coordinators.length === 0,
    takeOver,
  );
  fault(
    'another takes over from one that is only slow',
    'takeovers',
    ({ open, coordinators }) => open !== 'none' && coordinators.length === 1,
    takeOver,
  );

  return {
    initial,
    actions,
    plain: (world) => {
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
    },
    wrong: (world) => {
      if (world.isOpen[0] && world.isOpen[1]) return 'both sides can be written to';
      for (const side of [0, 1] as const)
        if (world.isOpen[side] && unapplied(world, other(side)).some((one) => one.startsWith('w')))
          return 'an acknowledged write is missing at the owner';
      for (const [index, { stage, mayFail }] of world.writes.entries())
        if (stage === 'failed' && !mayFail) return `write ${index} fails at an edge that was there`;
      return undefined;
    },
    isDone: (world) =>
      world.open === 'none' &&
      !world.isHolding &&
      world.coordinators.length === 0 &&
      world.isOpen[world.owner] &&
      !world.isOpen[other(world.owner)] &&
      world.writes.every(({ stage }) => stage === 'answered' || stage === 'failed'),
  };
}

/** For each of the numbers its place among them, from 1. */
function ranks(numbers: readonly number[]): (one: number) => number {
  const sorted = [...new Set(numbers)].sort((a, b) => a - b);
  return (one) => sorted.indexOf(one) + 1;
}
