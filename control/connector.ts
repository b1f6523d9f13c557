// What is asked of a team's own Debezium connector, at the database that it reads: whether its slot is
// there, and whether its records tell where a change was made.
import { BanyanError } from '../core/errors.ts';
import type { DebeziumSettings } from './debezium-settings.ts';
import { scalar, type Participant } from './participant.ts';
import { timelineOf, type SlotStart } from './slots.ts';

/**
 * Where a flow begins that reads the connector's topics: they are read from their end on, and the copy
 * has what committed before. Throws PREFLIGHT_FAILED where no such connector runs.
 */
export async function beginAtConnector(
  source: Participant,
  { slot }: DebeziumSettings,
): Promise<SlotStart> {
  const there = await scalar(
    source.client,
    'SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1 AND database = current_database()',
    [slot],
  );
  if (there === '0')
    throw new BanyanError('PREFLIGHT_FAILED', `there is no replication slot ${slot}`, {
      hint: 'Start the Debezium connector first, and name its slot.name under source.debezium.slot.',
    });
  return {
    lsn: await scalar(source.client, 'SELECT pg_current_wal_insert_lsn()'),
    timeline: await timelineOf(source.logins.capture),
  };
}

/** What is written back would come again by the connector, as if the monolith had made it. Throws MOVE_NOT_ALLOWED. */
export async function assertOrigins(target: Participant, flow: string): Promise<void> {
  const originless = await scalar(
    target.client,
    'SELECT coalesce(bool_or(originless), false) FROM banyan.log_offset WHERE flow = $1',
    [flow],
  );
  if (originless === 'true') throw looping();
}

/** Also where it is found out later. */
export function looping(
  code: 'MOVE_NOT_ALLOWED' | 'FLOW_STOPPED' = 'MOVE_NOT_ALLOWED',
): BanyanError {
  return new BanyanError(
    code,
    "the connector's records do not say where a change was made (source.origin): what sync back writes into the monolith would come back as the monolith's own, and go round for ever",
    {
      hint: 'Upgrade the connector to a version that writes source.origin (Debezium 3 does; no transformation may take it out), or leave `source` out of the definition and start the sync anew: a relay knows the origins.',
    },
  );
}
