// The way back, proven before the monolith gives the right to write away: the applier of sync back may do
// there all that it will have to, and a probe that the service has just written has come all the way. That
// a flow is alive does not say it: until then it has written nothing but its own checkpoint.
import { BanyanError, isBanyanError } from '../core/errors.ts';
import { quoteIdentifier, quoteTable } from '../core/postgres/identifiers.ts';
import { encodeMessage } from './domain/flow.ts';
import { MESSAGE_PREFIX } from './domain/names.ts';
import type { Participant } from './participant.ts';
import { waitForPosition, type FlowEnds } from './replication.ts';
import { scalar } from './scalar.ts';

const PROBE_TIMEOUT_MS = 5_000;

export interface MissingRight {
  readonly role: string;
  /** `UPDATE on public.prd`, `USAGE on schema public`. */
  readonly right: string;
  /** What gives it, for whoever owns the table. */
  readonly sql: string;
}

export interface Probe {
  /** In the source's WAL. */
  readonly position: string;
  readonly ms: number;
}

/** What the applier of a side lacks to write there what moves; empty where it lacks nothing. */
export async function missingRights(side: Participant): Promise<MissingRight[]> {
  const { applier: role, client } = side;
  const tables = side.closed(side.side === 'monolith' ? 'service' : 'monolith').tables;
  const names = tables.map(({ table }) => quoteTable(table));
  const schemas = [...new Set(tables.map(({ table }) => quoteIdentifier(table.schema)))];
  const { rows } = await client.query<{ right: string; what: string }>(
    `SELECT 'USAGE' AS "right", 'SCHEMA ' || s.name AS what FROM unnest($3::text[]) AS s(name)
      WHERE NOT has_schema_privilege($1::name, s.name::regnamespace, 'USAGE')
     UNION ALL
     SELECT r."right", t.name FROM unnest($2::text[]) AS t(name)
      CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS r("right")
      WHERE NOT has_table_privilege($1::name, t.name::regclass, r."right")`,
    [role, names, schemas],
  );
  return rows.map(({ right, what }) => ({
    role,
    right: `${right} on ${what.replace('SCHEMA ', 'schema ')}`,
    sql: `GRANT ${right} ON ${what} TO ${quoteIdentifier(role)}`,
  }));
}

/** Sends a probe along a flow, and waits until its target has recorded it. Throws GATE_REFUSED. */
export async function carryProbe(flow: FlowEnds): Promise<Probe> {
  const began = performance.now();
  const { source, target, names } = flow;
  const { capability } = source;
  const position = await scalar(source.client, 'SELECT pg_logical_emit_message(true, $1, $2)', [
    MESSAGE_PREFIX,
    encodeMessage({ kind: 'barrier', capability }),
  ]);
  try {
    await waitForPosition(flow, position, PROBE_TIMEOUT_MS);
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
  return { position, ms: Math.round(performance.now() - began) };
}
