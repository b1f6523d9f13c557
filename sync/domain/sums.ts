// Comparing rows without moving them: each side hashes what a row is at the service, and ranges of
// keys are compared by their count and the exclusive or of the hashes. Equal text means equal rows;
// unequal text means nothing yet: whoever finds a range unequal looks at its rows. So an expression
// here may be too strict, never too lax.
import {
  parseTableName,
  quoteIdentifier,
  quoteLiteral,
  quoteTable,
} from '../../core/postgres/identifiers.ts';
import type { ColumnPair, Edge } from './mapping.ts';

/** Expressions over a row `t` of either side. */
export interface Sums {
  /** The one key column, and its type in each database. */
  readonly key: {
    readonly source: string;
    readonly target: string;
    readonly sourceType: string;
    readonly targetType: string;
  };
  readonly source: string;
  readonly target: string;
}

const INTEGERS = new Set(['smallint', 'integer', 'bigint']);
const TEXTS = new Set(['text', 'character varying', 'bpchar', 'character']);
// Types that both databases put into the same order, whatever their collations are.
const ORDERED = new Set([
  ...['smallint', 'integer', 'bigint', 'numeric', 'date', 'uuid'],
  ...['timestamp with time zone', 'timestamp without time zone'],
]);

/** Undefined where a lens, a type or a key of several columns has no such form. */
export function compileSums(edge: Edge): Sums | undefined {
  const [key, ...more] = edge.key;
  // Of a part, its driver's rows say which there should be.
  if (!key || more.length > 0 || edge.groups.length > 0 || !edge.driver) return undefined;
  const sameOrder =
    key.sourceType === key.type || (INTEGERS.has(key.sourceType) && INTEGERS.has(key.type));
  if (!sameOrder || !ORDERED.has(key.type)) return undefined;
  const sides = [...edge.key, ...edge.columns].map(sidesOf);
  if (!sides.every((one) => one !== undefined)) return undefined;
  const hash = (parts: readonly string[]): string =>
    `hashtextextended(ROW(${parts.join(', ')})::text COLLATE "C", 0)`;
  return {
    key: {
      source: key.source,
      target: key.target,
      sourceType: key.sourceType,
      targetType: key.type,
    },
    source: hash(sides.map((one) => one.source)),
    target: hash(sides.map((one) => one.target)),
  };
}

/** How a column's value reads at the service, from either side, as the same text. */
function sidesOf(pair: ColumnPair): { source: string; target: string } | undefined {
  const source = `t.${quoteIdentifier(pair.source)}`;
  const target = `t.${quoteIdentifier(pair.target)}`;
  const asText = { source: `${source}::text`, target: `${target}::text` };
  const { lens } = pair;
  if (lens?.lens === 'scale') {
    if (!isExact(pair.sourceType) || !isExact(pair.type)) return undefined;
    return {
      source: trimmed(`(${source}::numeric * ${lens.factor}::numeric)`),
      target: trimmed(target),
    };
  }
  if (lens?.lens === 'values') {
    const words = Object.entries(lens.values).map(
      ([code, word]) => ` WHEN ${quoteLiteral(code)} THEN ${quoteLiteral(word)}`,
    );
    // A code without a word is equal to nothing.
    const unknown = `'?' || ${asText.source} || '?'`;
    return {
      source: `CASE ${asText.source}${words.join('')} ELSE ${unknown} END`,
      target: asText.target,
    };
  }
  if (lens?.lens === 'lookup') {
    const { side, table, monolith, service } = lens.in;
    if (side !== 'monolith') return undefined;
    const found = `(SELECT l.${quoteIdentifier(service)}::text FROM ${quoteTable(parseTableName(table))} AS l WHERE l.${quoteIdentifier(monolith)}::text = ${source}::text)`;
    // A value without a counterpart is equal to nothing.
    const unknown = `CASE WHEN ${source} IS NOT NULL THEN '?' || ${asText.source} || '?' END`;
    return { source: `coalesce(${found}, ${unknown})`, target: asText.target };
  }
  if (pair.sourceType === pair.type) return asText;
  if (INTEGERS.has(pair.sourceType) && INTEGERS.has(pair.type)) return asText;
  if (isExact(pair.sourceType) && isExact(pair.type))
    return { source: trimmed(source), target: trimmed(target) };
  return TEXTS.has(pair.sourceType) && TEXTS.has(pair.type) ? asText : undefined;
}

function isExact(type: string): boolean {
  return INTEGERS.has(type) || type === 'numeric';
}

function trimmed(expression: string): string {
  return `trim_scale(${expression}::numeric)::text`;
}
