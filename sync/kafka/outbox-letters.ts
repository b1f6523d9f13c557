// Dead letters of a relay: rows of an outbox that cannot be events, whole, in the source's own topic for
// them, with the reason beside them. They go the way of all records, so that none is confirmed unwritten.
import type { KafkaRecord } from '../../core/kafka/client.ts';
import { formatTable } from '../../core/postgres/identifiers.ts';
import type { Change } from '../domain/change.ts';
import { HEADERS } from '../domain/debezium/position.ts';
import { bytesOf } from './record-size.ts';

export interface Letter {
  readonly topic: string;
  readonly change: Change;
  readonly position: string;
  readonly why: string;
  /** Bytes that the topic takes. */
  readonly limit: number;
}

/** Of a row that is too large the beginnings of its columns are left: they say which one it was. */
const CUTS = [1_000, 100, 10] as const;

export function lettersTopic(prefix: string): string {
  return `${prefix}.dead-letters`;
}

/**
 * The row as JSON: PostgreSQL's texts by their columns, cut where the topic takes less; the key is what
 * tells it in its table. Undefined where not even its key fits.
 */
export function letterOf(letter: Letter): KafkaRecord | undefined {
  const fits = (record: KafkaRecord): boolean => bytesOf(record) <= letter.limit;
  const whole = written(letter, Infinity);
  // Half of it: what brokers count is known about.
  if (bytesOf(whole) <= letter.limit / 2) return whole;
  return (
    CUTS.map((cut) => written(letter, cut)).find(fits) ??
    [{ ...written(letter, CUTS[1]), value: null }].find(fits)
  );
}

function written({ topic, change, position, why }: Letter, cut: number): KafkaRecord {
  const short = (text: string): string => (text.length > cut ? text.slice(0, cut) : text);
  const headers = { [HEADERS.position]: position, 'banyan.error': short(why) };
  if (change.kind !== 'insert') return { topic, partition: 0, key: null, value: null, headers };
  const { relation, after } = change;
  const cells = relation.columns.map(({ name }, at): [string, string | null] => {
    const cell = after[at];
    return [name, typeof cell === 'string' ? short(cell) : null];
  });
  const keys = cells.filter((_, at) => relation.columns[at]?.key);
  return {
    ...{ topic, partition: 0, key: JSON.stringify(Object.fromEntries(keys)) },
    value: JSON.stringify(Object.fromEntries(cells)),
    headers: { ...headers, 'banyan.outbox': formatTable(relation) },
  };
}
