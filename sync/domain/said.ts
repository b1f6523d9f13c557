// What the messages in a source's stream mean to a flow.
import type { FlowMessage, RowMessage } from '../../control/domain/flow.ts';
import { formatTable, parseTableName } from '../../core/postgres/identifiers.ts';
import type { Relation, RowChange } from './change.ts';
import type { Mode } from './mapping.ts';
import type { FlowPlan } from './plan.ts';
import type { Snapshot } from './snapshot.ts';

/** What the source owns from an ownership message on. */
export function modeOf({ owns, shared }: FlowMessage & { readonly kind: 'ownership' }): Mode {
  const owning = owns ? 'owner' : 'guest';
  return shared ? `sharing ${owning}` : owning;
}

/** What is seen by whoever reads the source behind a heartbeat. */
export function seenBy({
  xmin,
  xmax = xmin,
  running = [],
}: FlowMessage & { readonly kind: 'heartbeat' }): Snapshot {
  return { xmin, xmax, running: new Set(running) };
}

/** The owner's row as a change of it; undefined for a table that the mapping does not name. */
export function changeOf({ shown, edges }: FlowPlan, message: RowMessage): RowChange | undefined {
  const columns = shown.get(message.table);
  if (!columns) return undefined;
  const { row, key } = message;
  const named = edges.owner.find(({ source }) => formatTable(source) === message.table)?.key ?? [];
  const relation: Relation = {
    ...parseTableName(message.table),
    columns: columns.map((name) => ({ name, key: named.some((pair) => pair.source === name) })),
  };
  if (row) return { kind: 'insert', relation, after: columns.map((name) => row[name]) };
  const before = columns.map((name) => key[named.findIndex((pair) => pair.source === name)]);
  return { kind: 'delete', relation, before };
}
