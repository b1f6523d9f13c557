// What a connector's mode loses of a column, and what to set instead. A flow that read such values
// would write other ones than the source has; it is refused before it does.
import { quoteTable } from '../../../core/postgres/identifiers.ts';
import { literalDefault } from './defaults.ts';
import type { Form } from './forms.ts';
import { dropsDigits } from './read-value.ts';
import type { SourceColumn, SourceTable, SourceType } from './source.ts';

export interface Loss {
  /** What is lost, one clause. */
  readonly reason: string;
  /** What mends it, one sentence. */
  readonly hint: string;
}

const exclude = (column: string): string =>
  `The connector has no mode that keeps it: leave the column out with column.exclude.list, or let a relay of ours write them, in layout changes (${column}).`;

/** Undefined when nothing is. A form that is undefined is a type that the connector leaves out. */
export function lossOf(column: SourceColumn, form: Form | undefined): Loss | undefined {
  const { name, type } = column;
  if (!form)
    return { reason: `the connector does not carry type ${type.name}`, hint: exclude(name) };
  return loss(name, type, form);
}

/**
 * Connect's JsonConverter writes a column's default where a row has NULL, unless it is told not to:
 * whether it was, no record says.
 */
export function nullLossOf({ name, type, notNull, defaultText }: SourceColumn): Loss | undefined {
  if (notNull || literalDefault(type, defaultText) === undefined) return undefined;
  return {
    reason: `a NULL in column ${name}, which has a default, comes as that default unless the converter is told to keep it`,
    hint: 'Set key.converter.replace.null.with.default and value.converter.replace.null.with.default to false.',
  };
}

/** Elements of arrays for which the connector has a placeholder (UnchangedToastedReplicationMessageColumn). */
const HAVE_PLACEHOLDER = new Set([
  ...['text', 'varchar', 'bpchar', 'json', 'jsonb', 'bytea', 'int4', 'int8', 'date', 'uuid'],
]);

/**
 * Of other arrays the connector writes NULL where a large one did not change and so was not sent, and NULL
 * may be what it is: only an old row tells. Records of our own relays have a placeholder in all of them.
 */
export function unchangedLossOf(
  table: Pick<SourceTable, 'identity' | 'schema' | 'table'>,
  { type }: SourceColumn,
  form: Form | undefined,
): Loss | undefined {
  if (table.identity === 'full' || !isUnmarked(type, form)) return undefined;
  const array = type.domain ? 'array below a domain' : `array of ${type.element?.name ?? ''}`;
  return {
    reason: `the connector writes NULL for a large ${array} that did not change`,
    hint: `ALTER TABLE ${quoteTable(table)} REPLICA IDENTITY FULL, by which the connector has the value; or map the column nowhere.`,
  };
}

/** Whether the connector has no placeholder for a value that was not sent. */
export function isUnmarked({ element, domain }: SourceType, form: Form | undefined): boolean {
  if (!element || form?.kind !== 'array') return false;
  // That of bytes is no text, which hexadecimal digits are.
  const isHex = form.items.kind === 'binary' && form.items.as === 'hex';
  return domain === true || isHex || !HAVE_PLACEHOLDER.has(element.name);
}

function loss(column: string, type: SourceType, form: Form): Loss | undefined {
  switch (form.kind) {
    case 'array':
      return loss(column, type.element ?? type, form.items);
    case 'number':
      return {
        reason: 'a decimal number came as a double, which has 15 digits',
        hint: 'Set decimal.handling.mode to string or precise.',
      };
    case 'money':
      if (form.as !== 'double') return undefined;
      return {
        reason: 'an amount came as a double',
        hint: 'Set decimal.handling.mode to string or precise.',
      };
    case 'temporal':
      if (!dropsDigits(form.as, type)) return undefined;
      return {
        reason: `microseconds are cut off to milliseconds in a column of ${type.name}`,
        hint: 'Set time.precision.mode to adaptive, microseconds, nanoseconds or isostring.',
      };
    case 'duration':
      return {
        reason: 'months and days of an interval came as microseconds',
        hint: 'Set interval.handling.mode to string.',
      };
    case 'binary':
      if (form.as === 'bytes' || form.as === 'hex') return undefined;
      return {
        reason: 'the connector writes NULL for a large value that did not change',
        hint: 'Set binary.handling.mode to bytes or hex.',
      };
    case 'zoned':
      if (form.of === 'timestamp') return undefined;
      return { reason: 'the zone of a time with time zone is gone', hint: exclude(column) };
    case 'bits':
      if (type.name !== 'varbit') return undefined;
      return { reason: 'the length of a bit string is gone', hint: exclude(column) };
    case 'bit':
      if (type.name !== 'varbit') return undefined;
      return { reason: 'an empty bit string came as false', hint: exclude(column) };
    case 'integer':
    case 'boolean':
    case 'float':
      return undefined;
    case 'text':
      if (type.name !== 'name') return undefined;
      return {
        reason: 'the connector writes NULL for a column of type name',
        hint: exclude(column),
      };
    case 'decimal':
    case 'variable':
    case 'interval':
    case 'hstore':
      return undefined;
  }
}
