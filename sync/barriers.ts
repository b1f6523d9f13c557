// Barriers: a message that each flow of a capability has to pass, so that everything committed before
// it is known to be at the other side.
import type pg from 'pg';
import { BanyanError } from '../core/errors.ts';
import { waitFor } from '../core/lifecycle.ts';
import { rawRows } from '../core/postgres/connect.ts';
import { encodeMessage } from '../control/domain/flow.ts';
import { MESSAGE_PREFIX } from '../control/domain/names.ts';

export interface Side {
  /** May write messages; reads the mapped rows. */
  readonly read: pg.Client;
  /** Sees the checkpoints of the flow that leads here. */
  readonly write: pg.Client;
}

export interface Sides {
  readonly monolith: Side;
  readonly service: Side;
}

const TIMEOUT_MS = 30_000;

/**
 * Waits until each flow that exists has applied everything that was committed before now. Throws
 * TIMED_OUT when one does not move, MOVE_NOT_ALLOWED when there is none.
 */
export async function passBarriers(
  capability: string,
  { monolith, service }: Sides,
): Promise<void> {
  // While both sides write, what the service has written is answered on the way there.
  const back = await passBarrier(capability, service.read, monolith.write, 'back');
  const to = await passBarrier(capability, monolith.read, service.write, 'to');
  if (!to && !back)
    throw new BanyanError(
      'MOVE_NOT_ALLOWED',
      `capability "${capability}" has no flow: there is nothing to verify`,
      {
        hint: 'Advance it to sync first.',
      },
    );
}

async function passBarrier(
  capability: string,
  source: pg.Client,
  target: pg.Client,
  direction: 'to' | 'back',
): Promise<boolean> {
  const flow = `${capability}:${direction}`;
  const present = await rawRows(target, `SELECT to_regclass('banyan.checkpoint')`);
  if ((present[0]?.[0] ?? null) === null) return false;
  const reached = async (lsn: string): Promise<boolean | undefined> => {
    const rows = await rawRows(
      target,
      'SELECT commit_lsn >= $2::pg_lsn FROM banyan.checkpoint WHERE flow = $1',
      [flow, lsn],
    );
    return rows[0] && rows[0][0] === 't';
  };
  if ((await reached('0/0')) === undefined) return false;
  const emitted = await rawRows(source, 'SELECT pg_logical_emit_message(true, $1, $2)', [
    MESSAGE_PREFIX,
    encodeMessage({ kind: 'barrier', capability }),
  ]);
  const lsn = emitted[0]?.[0] ?? '0/0';
  await waitFor(() => reached(lsn), {
    timeoutMs: TIMEOUT_MS,
    everyMs: 10,
    what: `flow ${flow} to apply what has been committed`,
    hint: 'Is `banyan sync` running? `banyan status` shows its lag and errors.',
  });
  return true;
}
