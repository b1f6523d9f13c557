// `banyan sync`: runs the flows that the phases of all capabilities ask for. Flows are independent: one
// that fails holds up no other.
import { sleep, type Part } from '../core/lifecycle.ts';
import type { Capability } from '../control/definition.ts';
import { flowNames } from '../control/domain/names.ts';
import { flowsOf } from '../control/domain/phase.ts';
import type { CapabilityState } from '../control/domain/state.ts';
import type { Direction } from '../control/domain/flow.ts';
import { Evidence } from '../control/evidence.ts';
import { pausedFlows } from '../control/pauses.ts';
import { openControl, StateStore } from '../control/store.ts';
import { watchStates } from '../control/watch.ts';
import { Attempts } from './attempts.ts';
import { idle, keepRunning, type FlowOf, type SyncOptions } from './kept-flow.ts';
import { watchRetainedWal } from './retained-wal.ts';

interface Flows {
  /** By `capability:direction`. */
  readonly running: Map<string, Running>;
  readonly watches: Map<string, Stoppable>;
  /** The ends of flows that were told to stop, by the same names. */
  readonly ending: Map<string, Promise<void>>;
  /** Capabilities whose copy a human has paused; the flows look here. */
  readonly pausedCopies: Set<string>;
}

interface Stoppable {
  readonly stop: AbortController;
  readonly ended: Promise<void>;
}

interface Running extends Stoppable {
  /** Of the state that it last heard of. */
  version: number;
  readonly attempts: Attempts;
}

/** How long the others wait for one that is told to stop. */
const ENDING_MS = 2_000;

/** The sync layer as a part of a process. Ready once it has looked at the states for the first time. */
export function syncPart(options: SyncOptions): Part {
  return {
    name: 'sync',
    run: async (signal, ready) => {
      const db = openControl(options.controlUrl);
      const evidence = new Evidence(db);
      const flows: Flows = {
        ...{ running: new Map(), watches: new Map(), ending: new Map() },
        pausedCopies: new Set(),
      };
      const capabilities = Object.keys(options.migration.capabilities);
      try {
        await watchStates(
          {
            url: options.controlUrl,
            store: new StateStore(db),
            capabilities,
            log: options.log,
            onChange: async (states) => {
              await adjust(options, evidence, flows, states, await pausedFlows(db));
              ready();
            },
          },
          signal,
        );
      } finally {
        const all = [...flows.running.values(), ...flows.watches.values()];
        await Promise.all([...all.map(stopped), ...flows.ending.values()]);
        await db.destroy();
      }
    },
  };
}

/** Starts the flows that are wanted and stops those that are not. The source is watched while a flow is paused, too. */
async function adjust(
  options: SyncOptions,
  evidence: Evidence,
  { running: flows, watches, ending, pausedCopies }: Flows,
  states: ReadonlyMap<string, CapabilityState>,
  paused: Awaited<ReturnType<typeof pausedFlows>>,
): Promise<void> {
  pausedCopies.clear();
  for (const id of paused.copy) pausedCopies.add(id);
  for (const [id, state] of states) {
    const capability = options.migration.capabilities[id];
    if (!capability) continue;
    const wanted = flowsOf(state.phase, {
      hasTables: capability.tables.length > 0,
      leaves: capability.leaves,
    });
    for (const direction of ['to', 'back'] as const) {
      const key = `${id}:${direction}`;
      const running = flows.get(key);
      const runs = wanted[direction] && !paused.flows.has(id);
      const flowOf = { id, capability, direction, copyPaused: () => pausedCopies.has(id) };
      if (runs && !running)
        flows.set(key, startFlow(options, evidence, flowOf, state.version, ending.get(key)));
      // Somebody has just decided something: one that stopped is not to wait any longer.
      if (runs && running && running.version !== state.version) {
        running.version = state.version;
        running.attempts.nudge();
      }
      if (!runs && running) {
        flows.delete(key);
        await letGo(ending, key, running);
      }
      const watch = watches.get(key);
      if (wanted[direction] && !watch)
        watches.set(key, startWatch(options, evidence, id, capability, direction));
      if (!wanted[direction] && watch) {
        watches.delete(key);
        await stopped(watch);
      }
      if (wanted[direction] && !runs) await evidence.reportFlow(idle(id, direction, 'paused'));
    }
  }
}

/** Stops a flow. One whose server says nothing takes its time, and holds up no other. */
async function letGo(
  ending: Map<string, Promise<void>>,
  key: string,
  running: Running,
): Promise<void> {
  const over = new AbortController();
  const ended: Promise<void> = stopped(running).finally(() => {
    over.abort();
    if (ending.get(key) === ended) ending.delete(key);
  });
  ending.set(key, ended);
  await sleep(ENDING_MS, over.signal);
}

/** `before` is the end of the one that it follows. */
function startFlow(
  options: SyncOptions,
  evidence: Evidence,
  flowOf: FlowOf,
  version: number,
  before: Promise<void> = Promise.resolve(),
): Running {
  const stop = new AbortController();
  const attempts = new Attempts(stop.signal);
  const run = (): Promise<void> =>
    keepRunning({ options, evidence, flowOf, attempts }, stop.signal);
  return { ...{ stop, version, attempts }, ended: before.then(run) };
}

function startWatch(
  options: SyncOptions,
  evidence: Evidence,
  id: string,
  capability: Capability,
  direction: Direction,
): Stoppable {
  const { connections, migration, log } = options;
  const side = { to: connections.monolith, back: connections.services[capability.service] };
  const url = side[direction]?.database?.capture;
  const stop = new AbortController();
  if (url === undefined) return { stop, ended: Promise.resolve() };
  const { walAlarmBytes: alarmBytes } = migration.sync;
  const ended = watchRetainedWal(
    {
      ...{ reader: 'flow', which: { capability: id, direction }, url, alarmBytes, log },
      slotIn: (source) =>
        direction === 'to' && capability.source
          ? capability.source.debezium.slot
          : flowNames(id, direction, { source, target: '' }).slot,
      report: (retained) => evidence.reportRetained(id, direction, retained),
    },
    stop.signal,
  );
  return { stop, ended };
}

async function stopped({ stop, ended }: Stoppable): Promise<void> {
  stop.abort();
  await ended;
}
