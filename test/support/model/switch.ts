// The protocol by which ownership moves (control/switch-run.ts, facade/holds.ts, the fence), as a model
// small enough to look at every one of its states: two databases with a log each, two edges, clients'
// writes, and coordinators that may die, be stopped and wake up late. `omit` leaves one thing out of the
// protocol, to see that the model would find it missing.
import type { Action, Model } from './explore.ts';
import { CHANGES, coordinatorSteps, type Omission } from './switch-steps.ts';
import {
  other,
  plain,
  unapplied,
  type Coordinator,
  type Edge,
  type World,
  type Write,
} from './switch-world.ts';

export interface Bounds {
  readonly writes: number;
  readonly switches: number;
  readonly deaths: number;
  readonly takeovers: number;
  readonly cuts: number;
  /** Answers to a flip. */
  readonly lost: number;
  /** Edges that come while a switch may be under way. */
  readonly late: number;
}

export function switchModel(bounds: Bounds, omit?: Omission): Model<World> {
  const has = (part: Omission): boolean => omit !== part;
  const begun = has('the fence of the new owner until the flip');
  const initial: World = {
    ...{ version: 1, epoch: 1, owner: 0, isHolding: false, open: 'none', inDoubt: false, from: 0 },
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

  const { steps, change } = coordinatorSteps(has);

  const actions: Action<World>[] = [];
  type Do = (world: World) => unknown;
  const act = (name: string, may: (world: World) => boolean, happen: Do): void => {
    actions.push({ name, isFault: false, may, happen: (world) => happen(world) !== false });
  };
  /** What chance has only so many of. */
  const fault = (
    name: string,
    of: 'deaths' | 'takeovers' | 'cuts' | 'lost',
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
      (world) =>
        world.applied[side] < world.logs[side].length && (side === 0 || has('the flow back')),
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
        if (world.inDoubt && CHANGES.has(by.step)) return false;
        const step = steps[by.step](world, by);
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
      `coordinator ${index} does not hear whether it has flipped`,
      'lost',
      ({ coordinators, version, inDoubt }) => {
        const by = coordinators[index];
        return by?.step === 'flip' && by.version === version && !inDoubt;
      },
      (world) => {
        world.inDoubt = true;
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
  act(
    'a flip in doubt is committed',
    ({ inDoubt }) => inDoubt,
    (world) => {
      const { from, version } = world;
      const flipped = { owner: other(from), open: 'flipped', version: version + 1 } as const;
      Object.assign(world, { ...flipped, inDoubt: false });
    },
  );
  act(
    'a flip in doubt is not committed',
    ({ inDoubt }) => inDoubt,
    (world) => {
      world.inDoubt = false;
    },
  );
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
    ({ open, coordinators, inDoubt }) => open !== 'none' && coordinators.length === 0 && !inDoubt,
    takeOver,
  );
  fault(
    'another takes over from one that is only slow',
    'takeovers',
    ({ open, coordinators, inDoubt }) => open !== 'none' && coordinators.length === 1 && !inDoubt,
    takeOver,
  );

  const isDone = (world: World): boolean =>
    world.open === 'none' &&
    !world.isHolding &&
    world.coordinators.length === 0 &&
    world.isOpen[world.owner] &&
    !world.isOpen[other(world.owner)] &&
    world.writes.every(({ stage }) => stage === 'answered' || stage === 'failed');

  return {
    initial,
    actions,
    isDone,
    promise: {
      from: (world) => isDone(world) && world.owner === 1 && world.left.switches > 0,
      to: (world) => isDone(world) && world.owner === 0,
      broken: 'ownership cannot go back',
    },
    plain,
    wrong: (world) => {
      if (world.isOpen[0] && world.isOpen[1]) return 'both sides can be written to';
      for (const side of [0, 1] as const)
        if (world.isOpen[side] && unapplied(world, other(side)).some((one) => one.startsWith('w')))
          return 'an acknowledged write is missing at the owner';
      for (const [index, { stage, mayFail }] of world.writes.entries())
        if (stage === 'failed' && !mayFail) return `write ${index} fails at an edge that was there`;
      return undefined;
    },
  };
}
