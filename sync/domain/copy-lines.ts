// Rows on their way from one COPY to another: a field that the mapping leaves alone passes as it came,
// neither unescaped nor escaped again; any other is decoded, mapped and encoded. Lines hold one
// character a byte.
import { formatTable, quoteIdentifier, quoteTable } from '../../core/postgres/identifiers.ts';
import type { TableName } from '../../core/postgres/identifiers.ts';
import { copyField } from '../../core/postgres/text-forms.ts';
import type { Tuple } from './change.ts';
import type { TextMap } from './lens.ts';
import type { ColumnPair, Edge } from './mapping.ts';

/** How lines of a source table become lines of one of its targets. */
export interface LineShape {
  readonly target: TableName;
  readonly skipsTriggers: boolean;
  readonly text: string;
  readonly fields: readonly LineField[];
  /** Ends every line: columns that only the target has. */
  readonly rest: string;
}

interface LineField {
  /** Index among the source's fields. */
  readonly at: number;
  /** None where the field passes as it is. */
  readonly map: TextMap | undefined;
}

/** Lines, one character a byte. */
export function linesOf(lines: Buffer): string[] {
  return lines.length === 0 ? [] : lines.toString('latin1', 0, lines.length - 1).split('\n');
}

export function bytesOf(lines: readonly string[]): Buffer {
  return Buffer.from(`${lines.join('\n')}\n`, 'latin1');
}

/** One field of a line, still escaped. */
export function fieldAt(line: string, index: number): string {
  let from = 0;
  for (let before = 0; before < index; before++) {
    const tab = line.indexOf('\t', from);
    if (tab < 0) return '';
    from = tab + 1;
  }
  const end = line.indexOf('\t', from);
  return end < 0 ? line.slice(from) : line.slice(from, end);
}

/** Fields of a line, still escaped. */
export function fieldsOf(line: string): string[] {
  return line.split('\t');
}

const ENCODED = /[\\\x80-\xff]/;
const ESCAPED = /\\(.)/gs;
const MEANINGS: Readonly<Record<string, string>> = {
  ...{ b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' },
};

/** A field as text. */
export function decodeField(field: string): string | null {
  if (field === '\\N') return null;
  if (!ENCODED.test(field)) return field;
  const plain = field.replace(ESCAPED, (_, letter: string) => MEANINGS[letter] ?? letter);
  return Buffer.from(plain, 'latin1').toString('utf8');
}

export function decodeLine(line: string): Tuple {
  return fieldsOf(line).map(decodeField);
}

function encodeField(value: string): string {
  const field = copyField(value);
  return BEYOND_ASCII.test(field) ? Buffer.from(field, 'utf8').toString('latin1') : field;
}

const BEYOND_ASCII = /[\u0080-\uffff]/;

/**
 * The shapes for all targets of a source table, in the order of its edges. Undefined where its rows are
 * not whole rows of their targets: others feed these too.
 */
export function lineShapes(
  source: string,
  columns: readonly string[],
  edges: readonly Edge[],
): LineShape[] | undefined {
  const own = edges.filter((edge) => formatTable(edge.source) === source);
  const whole = own.every(
    (edge) =>
      edge.driver &&
      !edge.optional &&
      edge.groups.length === 0 &&
      edges.every(
        (other) => other === edge || formatTable(other.target) !== formatTable(edge.target),
      ),
  );
  return whole ? own.map((edge) => shapeOf(edge, columns)) : undefined;
}

function shapeOf(edge: Edge, columns: readonly string[]): LineShape {
  const pairs = [...edge.key, ...edge.columns];
  const names = pairs.map((pair) => pair.target);
  const constants = edge.constants.filter((one) => !names.includes(one.column));
  const given = [...names, ...constants.map((one) => one.column)].map(quoteIdentifier).join(', ');
  return {
    target: edge.target,
    skipsTriggers: edge.skipsTriggers,
    text: `COPY ${quoteTable(edge.target)} (${given}) FROM STDIN`,
    fields: pairs.map((pair) => ({
      at: columns.indexOf(pair.source),
      map: passes(pair) ? undefined : pair.map,
    })),
    rest: constants
      .map((one) => `\t${one.value === null ? copyField(null) : encodeField(one.value)}`)
      .join(''),
  };
}

/** Whether the map of a column is none: the text of one side is what the other side reads. */
function passes({ lens, sourceType, type }: ColumnPair): boolean {
  const trimmed = sourceType === 'bpchar' && type !== 'bpchar';
  return !trimmed && (lens === undefined || lens.lens === 'rename');
}

/** A line for a target. Throws LensError. */
export function lineFor({ fields, rest }: LineShape, from: readonly string[]): string {
  let line = '';
  for (let index = 0; index < fields.length; index++) {
    const { at, map } = fields[index] as LineField;
    const field = from[at] ?? '\\N';
    if (index > 0) line += '\t';
    line += map === undefined || field === '\\N' ? field : mapped(map, field);
  }
  return line + rest;
}

function mapped(map: TextMap, field: string): string {
  const value = decodeField(field);
  return value === null ? '\\N' : encodeField(map(value));
}
