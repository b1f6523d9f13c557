// Values that stand in, inside a transaction, for one that a row has to give up before another may have
// it: nobody else has them, and they fit the column.
import { parseType } from './widths.ts';

/** Digits of a random number that may be told apart. */
const DIGITS = 15;

const random = (digits: number): string => `-(1 + floor(random() * 1e${digits}))`;
const text = `replace(gen_random_uuid()::text, '-', '')`;

/** An expression in SQL, another value each time; undefined for a type that has no such. */
export function standIn(fullType: string): string | undefined {
  const { base, args } = parseType(fullType);
  const [size, scale = 0] = args;
  switch (base) {
    case 'text':
    case 'citext':
      return text;
    case 'character varying':
    case 'character':
    case 'bpchar':
      return size === undefined ? text : `left(${text}, ${size})`;
    case 'smallint':
      return random(4);
    case 'integer':
      return random(9);
    case 'bigint':
      return random(DIGITS);
    case 'numeric':
      return size !== undefined && size <= scale
        ? undefined
        : random(Math.min(DIGITS, (size ?? DIGITS + scale) - scale));
    case 'uuid':
      return 'gen_random_uuid()';
    case 'bytea':
      return 'uuid_send(gen_random_uuid())';
    case 'date':
      return `date '0001-01-01' + floor(random() * 600000)::integer`;
    case 'timestamp without time zone':
    case 'timestamp with time zone':
      return `timestamp '0001-01-01' + random() * interval '600000 days'`;
    default:
      return undefined;
  }
}
