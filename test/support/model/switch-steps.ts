// What a coordinator does in the model of a switch (switch.ts), step by step. `has` tells what is not left out.
import {
  living,
  other,
  unapplied,
  type Coordinator,
  type Side,
  type Step,
  type World,
} from './switch-world.ts';

export type Omission =
  | 'the barrier in the transaction of the fence'
  | 'the drain before the flip'
  | 'the fence before the barrier'
  | 'the epoch in the databases'
  | 'the writes in flight before an acknowledgement'
  | 'the list of edges after the hold'
  | 'the version of the state'
  | 'the fence of the new owner until the flip'
  | 'the wait for a flip in doubt'
  | 'the flow back';

/** Steps that change the state: they wait for whoever is about to. */
export const CHANGES = new Set<Step>(['begin', 'hold', 'flip', 'release', 'let go']);

type Steps = Record<Step, (world: World, by: Coordinator) => Step | 'over' | 'waits'>;

interface CoordinatorSteps {
  readonly steps: Steps;
  readonly change: (world: World, by: Coordinator, more: Partial<World>) => boolean;
}

export function coordinatorSteps(has: (part: Omission) => boolean): CoordinatorSteps {
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

  /** One step of a coordinator: false where it cannot be taken yet, 'over' where it was the last one. */
  const steps: Steps = {
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
      if (has('the wait for a flip in doubt') && world.inDoubt) return 'waits';
      if (world.epoch !== by.epoch) return 'over';
      by.version = world.version;
      if (world.owner !== by.from) return 'unfence';
      if (!guarded(world, by.from, by)) return 'over';
      world.isOpen[by.from] = true;
      return 'let go';
    },
    'let go': (world, by) => {
      change(world, by, { isHolding: false, open: 'none' });
      return 'over';
    },
  };
  return { steps, change };
}
