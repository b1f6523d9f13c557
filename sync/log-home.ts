// Where a flow has its changes from: a slot and a publication of its own, or a relay's and the topics
// that it fills. The rest of a flow does not know which.
import type pg from 'pg';
import { sleep } from '../core/lifecycle.ts';
import type { Lsn } from '../core/postgres/lsn.ts';
import { relayNames, type FlowNames } from '../control/domain/names.ts';
import type { ChangeLog } from './change-log.ts';
import { tablesByOid, type Shapes } from './drift.ts';
import { sourceKeyOf, type FlowPlan } from './domain/plan.ts';
import { ConnectorFlow, type Connected } from './kafka/connector-flow.ts';
import { openRelayed, type Relayed } from './kafka/consume-flow.ts';
import { openSlotLog } from './slot-log.ts';
import { checkSlot, movedTo } from './slot.ts';
import type { Say } from './source.ts';
import type { Checkpoint } from './target.ts';

export interface LogHome {
  /** Whose tables are sent. */
  readonly publication: string;
  /** What the checkpoint holds of this log. */
  readonly kept: 'position' | 'offsets';
  /** Whether only each row's changes come in the order in which they were made. */
  readonly scattered: boolean;
  /** Brings a message of the flow's into its stream, where that is not by the WAL. */
  readonly say?: Say;
  /** Where the log goes on, if changes may be missing before that of which nothing else will tell. */
  readonly hole?: (client: pg.Client, checkpoint: Checkpoint) => Promise<Lsn | undefined>;
  /** Throws SLOT_LOST, KAFKA_LOG_LOST, FLOW_STOPPED and what connecting throws. */
  open(checkpoint: Checkpoint, plan: FlowPlan, shapes: Shapes): Promise<ChangeLog>;
  /** Looks until the signal aborts whether changes are being lost. Throws SLOT_LOST. */
  watch(client: pg.Client, signal: AbortSignal): Promise<void>;
}

export interface LogHomeOptions {
  /** Login that reads the source, and its database. */
  readonly url: string;
  readonly database: string;
  readonly names: FlowNames;
  readonly silenceMs: number | undefined;
}

const LOOK_MS = 3_000;

export function slotHome({ url, names, silenceMs }: LogHomeOptions): LogHome {
  const { slot, publication } = names;
  return {
    publication,
    ...{ kept: 'position', scattered: false },
    // Whoever holds the flow's origin at the target alone applies what the slot brings.
    open: ({ position }, _, shapes) =>
      openSlotLog(
        {
          ...{ url, slot, publication, silenceMs },
          ...{ seizes: true, holdsIdle: true, tables: tablesByOid(shapes) },
        },
        position,
      ),
    hole: (client, { confirmed }) => movedTo(client, slot, confirmed),
    // Whoever reads a slot hears of its end.
    watch: () => Promise.resolve(),
  };
}

export function relayedHome({ url, database, names }: LogHomeOptions, relayed: Relayed): LogHome {
  const { slot, publication } = relayNames(database);
  return {
    publication,
    ...{ kept: 'offsets', scattered: relayed.settings.layout === 'table' },
    open: (checkpoint, plan, shapes) =>
      openRelayed(relayed, {
        ...{ url, slot, publication, checkpoint, shapes, ownSlot: names.slot },
        ...{ flow: names.flow, capability: plan.capability },
        keyOf: (table) => sourceKeyOf(plan, table),
      }),
    watch: async (client, signal) => {
      while (!signal.aborted) {
        await checkSlot(client, slot);
        await sleep(LOOK_MS, signal);
      }
    },
  };
}

/** `watchUrl` sees what the coordinator notes at the source. */
export function connectedHome(
  { url, names, watchUrl }: LogHomeOptions & { readonly watchUrl: string },
  capability: string,
  connected: Connected,
  back: FlowNames,
): LogHome {
  const { slot, publication } = connected.settings;
  const flow = new ConnectorFlow(connected, {
    ...{
      url,
      watchUrl,
      capability,
      ownSlot: names.slot,
      flow: names.flow,
      backOrigin: back.origin,
    },
  });
  return {
    publication,
    ...{ kept: 'offsets', scattered: true },
    say: (message) => flow.say(message),
    open: (checkpoint, plan, shapes) =>
      flow.open(checkpoint, shapes, (table) => sourceKeyOf(plan, table)),
    watch: async (client, signal) => {
      while (!signal.aborted) {
        await checkSlot(client, slot);
        await flow.assertTopics();
        await sleep(LOOK_MS, signal);
      }
    },
  };
}
