// A source that was promoted, or set back, has lost changes that the target has. Here a human decides that it is right
// all the same: the flow goes on behind the switch point, and all tables are copied again beside it, in
// whatever phase the capability is. Rows that the new server lost go, where it owns the rows. Over Kafka
// the relay begins a new life there: its topics keep the old server's tail, and nobody takes it.
import { BanyanError, isBanyanError } from '../core/errors.ts';
import { waitFor } from '../core/lifecycle.ts';
import { rawRows, transaction, withClient } from '../core/postgres/connect.ts';
import { formatLsn } from '../core/postgres/lsn.ts';
import type { FlowPair } from '../control/ends.ts';
import type { Direction } from '../control/domain/flow.ts';
import { relayNames } from '../control/domain/names.ts';
import { reviveRelay } from '../control/relay.ts';
import type { RelayReports } from '../control/relay-reports.ts';
import { hasFlow, type FlowEnds } from '../control/replication.ts';
import { isOwners } from './domain/mapping.ts';
import { assertSlot, setBackTo, standing } from './slot.ts';
import { Target } from './target.ts';

const SESSION = { applicationName: 'banyan-recopy' };
/** `banyan sync` tries a flow that has stopped again every few seconds, and lets go of it at once. */
const PATIENCE_MS = 15_000;

/**
 * Gives the directions that go on so; none where neither flow stands behind a switch point. What relays
 * have reported of the old server is forgotten. `begins` is called before anything is changed. Throws SLOT_LOST, FLOW_STOPPED.
 */
export async function recopy(
  ends: FlowPair,
  relays: Pick<RelayReports, 'drop'>,
  begins: () => Promise<void> = () => Promise.resolve(),
): Promise<Direction[]> {
  const done: Direction[] = [];
  for (const direction of ['to', 'back'] as const)
    if ((await hasFlow(ends[direction])) && (await goOn(ends[direction], relays, begins)))
      done.push(direction);
  return done;
}

async function goOn(
  { names, source, target: end, relayed }: FlowEnds,
  relays: Pick<RelayReports, 'drop'>,
  begins: () => Promise<void>,
): Promise<boolean> {
  const { capture } = source.logins;
  const found = await withClient(capture, { ...SESSION, replication: true }, async (client) => {
    const checkpoint = await withClient(end.logins.applier, SESSION, (reader) =>
      Target.checkpointOf(reader, names.flow),
    );
    const { position } = checkpoint;
    const { timeline, verdict } = await standing(client, position);
    if (verdict.kind === 'past') return { checkpoint, timeline, lostFrom: verdict.switchPoint };
    return {
      checkpoint,
      timeline,
      lostFrom: relayed ? undefined : await setBackTo(client, position),
    };
  });
  const { checkpoint, timeline, lostFrom } = found;
  if (lostFrom === undefined) return false;
  await assertSlot(capture, relayed ? relayNames(source.database).slot : names.slot);
  // By the databases' own account: one that stands has not heard of the end of a write canary.
  if ((await source.isShared()) || (await end.isShared()))
    throw new BanyanError('FLOW_STOPPED', `both sides of flow ${names.flow} write`, {
      hint: 'Only one of them can be right: end the write canary, then copy again.',
    });
  const mode = isOwners(checkpoint.mode) ? 'owner' : 'guest';
  const [known] = await rawRows(
    source.client,
    'SELECT epoch FROM banyan.ownership WHERE capability = $1',
    [source.capability],
  );
  if (Number(known?.[0] ?? 0) < checkpoint.barrier)
    throw new BanyanError(
      'FLOW_STOPPED',
      `the server that was promoted does not know of the last switch of capability "${source.capability}": who may write there is not what was decided`,
      { hint: 'Only a server that has it can go on: promote one, or restore its databases.' },
    );
  const target = await waitFor(
    async () => {
      try {
        return await Target.open(end.logins.applier, names);
      } catch (error) {
        if (isBanyanError(error, 'APPLIER_REPLACED')) return undefined;
        throw error;
      }
    },
    { timeoutMs: PATIENCE_MS, what: `the applier to let go of flow ${names.flow}` },
  );
  try {
    // First: as long as the flow stands where it stood, all this can be done again.
    await begins();
    if (relayed) {
      await relays.drop(relayed.source);
      await reviveRelay(source);
    }
    const position = { timeline, commitLsn: lostFrom, seq: 0 };
    await transaction(target.client, async () => {
      await target.advance(checkpoint, { ...checkpoint, mode, position });
      // What was to be read again, or is parked, comes with the copy.
      for (const table of ['reread', 'orphan', 'parked'])
        await target.client.query(`DELETE FROM banyan.${table} WHERE flow = $1`, [names.flow]);
      if (relayed)
        await target.client.query(
          'UPDATE banyan.log_offset SET timeline = $2, commit_lsn = $3, seq = 0, part = 0 WHERE flow = $1',
          [names.flow, timeline, formatLsn(lostFrom)],
        );
      await target.client.query(
        'UPDATE banyan.backfill SET stage = $2, cursor = NULL, rows = 0 WHERE flow = $1',
        [names.flow, mode === 'owner' ? 'prune' : 'copy'],
      );
    });
  } finally {
    await target.close();
  }
  return true;
}
