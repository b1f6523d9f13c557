// A column's default as its schema in a record has it: literals only, as the connector reads them
// from PostgreSQL's printed expression. What is computed (`now()`, a sequence) has no place there.
import type { SourceType } from './source.ts';

const LITERAL = /^\(?'((?:[^']|'')*)'(?:::[\w\s"(),[\]]+)?\)?$/;
const BITS = /^B'([01]*)'(?:::.*)?$/;
const NUMBER = /^\(?(-?\d+(?:\.\d+)?)\)?(?:::[\w\s(),]+)?$/;
const QUOTED_NUMBER = /^-?\d+(?:\.\d+)?(?:e[+-]?\d+)?$/i;

const NUMBERS = new Set(['int2', 'int4', 'int8', 'numeric', 'float4', 'float8', 'money', 'oid']);
const TEXTS = new Set(['text', 'varchar', 'bpchar', 'json', 'jsonb', 'xml', 'uuid', 'citext']);

/** PostgreSQL's text of the default; undefined where there is none or the connector cannot read it. */
export function literalDefault(
  type: SourceType,
  expression: string | undefined,
): string | undefined {
  if (expression === undefined) return undefined;
  if (type.name === 'bool')
    return expression === 'true' ? 't' : expression === 'false' ? 'f' : undefined;
  if (type.name === 'bit' || type.name === 'varbit') return BITS.exec(expression)?.[1];
  const quoted = LITERAL.exec(expression)?.[1]?.replaceAll("''", "'");
  if (NUMBERS.has(type.name)) {
    if (quoted !== undefined) return QUOTED_NUMBER.test(quoted) ? quoted : undefined;
    return NUMBER.exec(expression)?.[1];
  }
  return TEXTS.has(type.name) || type.labels ? quoted : undefined;
}
