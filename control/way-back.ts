// The way back, proven before the monolith gives the right to write away: the applier of sync back may do
// there all that it will have to, and a probe that the service has just written has come all the way. That
// a flow is alive does not say it: until then it has written nothing but its own checkpoint. Who goes back is
// told the same of the way forward, which nobody waits for then.
import { BanyanError, isBanyanError, messageOf } from '../core/errors.ts';
import { parseTableName } from '../core/postgres/identifiers.ts';
import { lackingRights, type MissingRight } from './applier-rights.ts';
import { encodeMessage } from './domain/flow.ts';
import { referencesOf, skipsTriggers } from './domain/mapped-table.ts';
import { MESSAGE_PREFIX } from './domain/names.ts';
import type { Participant } from './participant.ts';
import { waitForPosition, type FlowEnds } from './replication.ts';
import { scalar } from './scalar.ts';
import { lackingToRaise } from './sequence-rights.ts';

const PROBE_TIMEOUT_MS = 5_000;

/** What is missing, or why nobody could look. */
export type RightsFound = readonly MissingRight[] | string;

export interface Probe {
  /** In the source's WAL. */
  readonly position: string;
  readonly ms: number;
}

/** What was found of a way that is needed later, if ever. */
export interface WayForward {
  /** Undefined where nobody could look. */
  readonly missing?: readonly MissingRight[] | undefined;
  readonly probe?: Probe | undefined;
  /** Why no probe has come through. */
  readonly why?: string | undefined;
}

/** What the applier of a side lacks to write there what moves, and the coordinator to make that side the owner. */
export async function missingRights(at: Participant): Promise<MissingRight[]> {
  const { side, client, applier, tables } = at;
  const lookups = referencesOf(tables).filter((reference) => reference.side === side);
  const toWrite = await lackingRights(client, applier, {
    tables: tables.flatMap((table) => table[side]).map(parseTableName),
    lookups: lookups.map(({ table }) => parseTableName(table)),
    skipsTriggers: skipsTriggers(tables, side),
  });
  return [...toWrite, ...(await lackingToRaise(at))];
}

/** Sends a probe along a flow, and waits until its target has recorded it. Throws GATE_REFUSED. */
export async function carryProbe(flow: FlowEnds): Promise<Probe> {
  const { source, target, names } = flow;
  try {
    return await sendProbe(flow);
  } catch (error) {
    if (!isBanyanError(error, 'TIMED_OUT')) throw error;
    throw new BanyanError(
      'GATE_REFUSED',
      `the way back is not proven: flow ${names.flow} has not brought a probe from the ${source.side} to the ${target.side} within ${PROBE_TIMEOUT_MS} ms`,
      {
        hint: 'Is `banyan sync` running? `banyan status` shows its lag and errors.',
        cause: error,
      },
    );
  }
}

/** How far it is proven that the flow's target could own again; `flows`: whether a probe is worth waiting for. */
export async function lookForward(flow: FlowEnds, flows: boolean): Promise<WayForward> {
  let missing: readonly MissingRight[] | undefined;
  try {
    missing = await missingRights(flow.target);
    if (missing.length > 0 || !flows) return { missing };
    return { missing, probe: await sendProbe(flow) };
  } catch (error) {
    return { missing, why: messageOf(error) };
  }
}

async function sendProbe(flow: FlowEnds): Promise<Probe> {
  const began = performance.now();
  const { client, capability } = flow.source;
  const position = await scalar(client, 'SELECT pg_logical_emit_message(true, $1, $2)', [
    MESSAGE_PREFIX,
    encodeMessage({ kind: 'barrier', capability }),
  ]);
  await waitForPosition(flow, position, PROBE_TIMEOUT_MS);
  return { position, ms: Math.round(performance.now() - began) };
}
