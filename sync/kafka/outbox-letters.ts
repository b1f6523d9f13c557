// Dead letters of a relay: rows of an outbox that cannot be events, whole, in the source's own topic for
// them, with the reason beside them. They go the way of all records, so that none is confirmed unwritten.
import type { KafkaRecord } from '../../core/kafka/client.ts';
import { formatTable } from '../../core/postgres/identifiers.ts';
import type { Change } from '../domain/change.ts';
import { HEADERS } from '../domain/debezium/position.ts';

export interface Letter {
  readonly topic: string;
  readonly change: Change;
  readonly position: string;
  readonly why: string;
  /** Bytes that the topic takes. */
  readonly limit: number;
}

/** Of a row that is too large its beginning is left: it says which one it was. */
const CUT = 1_000;

export function lettersTopic(prefix: string): string {
  return `${prefix}.dead-letters`;
}

/** The row as JSON: PostgreSQL's texts by their columns; the key is what tells it in its table. */
export function letterOf({ topic, change, position, why, limit }: Letter): KafkaRecord {
  const headers = { [HEADERS.position]: position, 'banyan.error': why };
  if (change.kind !== 'insert') return { topic, partition: 0, key: null, value: null, headers };
  const { relation, after } = change;
  const cells = relation.columns.map(({ name }, at): [string, string | null] => [
    name,
    after[at] ?? null,
  ]);
  const keys = cells.filter((_, at) => relation.columns[at]?.key);
  const whole = JSON.stringify(Object.fromEntries(cells));
  const cut = cells.map(([name, value]) => [name, value?.slice(0, CUT) ?? null]);
  return {
    ...{ topic, partition: 0, key: JSON.stringify(Object.fromEntries(keys)).slice(0, CUT) },
    value: Buffer.byteLength(whole) < limit / 2 ? whole : JSON.stringify(Object.fromEntries(cut)),
    headers: { ...headers, 'banyan.outbox': formatTable(relation) },
  };
}
