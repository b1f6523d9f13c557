// Reads the rows of one table out of records: forms from the record's own schema where it has one,
// from the connector's modes where it has none. A column whose form loses something is refused.
import { BanyanError } from '../../../core/errors.ts';
import type { Relation, RowChange, Tuple, Value } from '../change.ts';
import { formOfSchema } from './connect-schema.ts';
import { formOf, type Form } from './forms.ts';
import {
  Digits,
  isList,
  isObject,
  JsonReader,
  quote,
  type Json,
  type JsonObject,
} from './json-text.ts';
import { isUnmarked, lossOf, unchangedLossOf, type Loss } from './losses.ts';
import { readerOf, type Reader } from './read-value.ts';
import {
  UNAVAILABLE,
  UNAVAILABLE_BYTES,
  UNAVAILABLE_UUID,
  type Modes,
  type SourceColumn,
  type SourceTable,
} from './source.ts';

interface Column {
  readonly name: string;
  /** Its name as it stands in a row, with what comes before it. */
  readonly first: string;
  readonly next: string;
  readonly identity: boolean;
  readonly read: Reader;
  /** NULL stands for what was not sent, too. */
  readonly unmarked: boolean;
}

/** Whose records: a connector has no placeholder for some of what was not sent. */
export type RecordWriter = 'relay' | 'connector';

/** How our records of a row begin, and what stands between the old and the new one. */
export const BEFORE = '{"before":';
const AFTER = ',"after":';

export class RowReader {
  readonly relation: Relation;
  /** Whether the record's key tells the row: then an old key is all that an update needs. */
  readonly keyedByIdentity: boolean;
  /** Whether the old row of an update is whole, and brings what was not sent of the new one. */
  readonly hasOldRows: boolean;
  readonly #columns: readonly Column[];
  readonly #relations = new Map<string, Relation>();

  /** `schema` is that of a row, as a record has it. */
  constructor(
    table: SourceTable,
    modes: Modes,
    schema: JsonObject | undefined,
    writer: RecordWriter = 'relay',
  ) {
    const fields = schema ? fieldsOf(schema) : undefined;
    const written = table.columns.filter(({ generated }) => !generated);
    this.#columns = written.map((column) => ({
      name: column.name,
      first: `{${quote(column.name)}:`,
      next: `,${quote(column.name)}:`,
      identity: column.identity,
      ...readColumn(table, column, modes, fields, writer),
    }));
    this.hasOldRows = table.identity === 'full';
    this.relation = relationOf(table, this.#columns);
    const identity = written.filter((column) => column.identity);
    this.keyedByIdentity =
      identity.length > 0 && identity.every(({ keyPlace }) => keyPlace !== undefined);
  }

  /**
   * A new row, and the relation that has the columns which it has: one may have been dropped since. `partly`:
   * what did not change of it may not have been sent.
   */
  after(row: JsonObject, partly: boolean): { readonly relation: Relation; readonly after: Tuple } {
    const after: Value[] = [];
    let missing = false;
    for (const { name, read, unmarked } of this.#columns) {
      const json = row.get(name);
      if (json === undefined) missing = true;
      else if (json === null && unmarked && partly) throw withoutOldRow(this.relation, name);
      else after.push(json === null ? null : isUnavailable(json) ? undefined : read(json));
    }
    return { relation: missing ? this.#relationOf(row) : this.relation, after };
  }

  /** An old row: what is not of the replica identity was not sent, whatever stands there. */
  before(row: JsonObject): Tuple {
    return this.#columns.map(({ name, identity, read }) => {
      const json = identity ? row.get(name) : undefined;
      if (json === undefined || json === null) return json;
      return isUnavailable(json) ? undefined : read(json);
    });
  }

  /**
   * The change of a record that begins as ours do, when its rows stand there in our own form, up to `end`;
   * undefined where anything is otherwise, and is to be looked at with more care.
   */
  written(text: string, operation: 'c' | 'u' | 'd', end: number): RowChange | undefined {
    const reader = new JsonReader(text, BEFORE.length);
    const before = reader.passes('null') ? null : this.#writtenBefore(reader);
    if (before === undefined || !reader.passes(AFTER)) return undefined;
    const after = reader.passes('null') ? null : this.#writtenAfter(reader);
    if (after === undefined || reader.at !== end) return undefined;
    const { relation } = this;
    if (operation === 'd') return before ? { kind: 'delete', relation, before } : undefined;
    if (!after) return undefined;
    if (operation === 'u') return { kind: 'update', relation, before: before ?? undefined, after };
    return after.includes(undefined) ? undefined : { kind: 'insert', relation, after };
  }

  #writtenAfter(reader: JsonReader): Tuple | undefined {
    const after: Value[] = [];
    for (const { first, next, read, unmarked } of this.#columns) {
      if (!reader.passes(after.length === 0 ? first : next)) return undefined;
      const json = reader.value();
      if (json === null && unmarked) return undefined;
      after.push(json === null ? null : isUnavailable(json) ? undefined : read(json));
    }
    return after.length > 0 && reader.passes('}') ? after : undefined;
  }

  /** Of the replica identity only, and of it what was sent. */
  #writtenBefore(reader: JsonReader): Tuple | undefined {
    const before: Value[] = [];
    let isFirst = true;
    for (const { first, next, identity, read } of this.#columns) {
      if (!identity || !reader.passes(isFirst ? first : next)) {
        before.push(undefined);
        continue;
      }
      isFirst = false;
      const json = reader.value();
      before.push(json === null ? null : isUnavailable(json) ? undefined : read(json));
    }
    return !isFirst && reader.passes('}') ? before : undefined;
  }

  #relationOf(row: JsonObject): Relation {
    const columns = this.#columns.filter(({ name }) => row.has(name));
    const label = columns.map(({ name }) => name).join('\0');
    const known = this.#relations.get(label);
    if (known) return known;
    const made = relationOf(this.relation, columns);
    this.#relations.set(label, made);
    return made;
  }
}

function relationOf(
  { schema, table }: { readonly schema: string; readonly table: string },
  columns: readonly Column[],
): Relation {
  return {
    schema,
    table,
    columns: columns.map(({ name, identity }) => ({ name, key: identity })),
  };
}

function readColumn(
  table: SourceTable,
  column: SourceColumn,
  modes: Modes,
  fields: ReadonlyMap<string, JsonObject> | undefined,
  writer: RecordWriter,
): Pick<Column, 'read' | 'unmarked'> {
  const { name, type } = column;
  const expected = formOf(type, modes);
  const schema = fields?.get(name);
  const form = schema ? formOfSchema(schema, type, expected ?? { kind: 'text' }) : expected;
  const isTheirs = writer === 'connector';
  const unmarked = isTheirs && isUnmarked(type, form);
  const loss =
    modes.exact && !schema
      ? undefined
      : (lossOf(column, form) ?? (isTheirs ? unchangedLossOf(table, column, form) : undefined));
  if (!loss && form) return { read: guarded(table, name, form, readerOf(form, type)), unmarked };
  const refuse: Reader = () => {
    throw unreadable(table, name, loss);
  };
  return { read: refuse, unmarked };
}

function unreadable(
  { schema, table }: { readonly schema: string; readonly table: string },
  column: string,
  loss: Loss | undefined,
): BanyanError {
  return new BanyanError(
    'FLOW_STOPPED',
    `column ${column} of ${schema}.${table} cannot be read from its records: ${loss?.reason ?? ''}`,
    { hint: loss?.hint },
  );
}

/** It was written while the table had no REPLICA IDENTITY FULL. */
function withoutOldRow(relation: Relation, column: string): BanyanError {
  return unreadable(relation, column, {
    reason: 'one has NULL, which the connector writes for a large value too that did not change',
    hint: 'Give the table REPLICA IDENTITY FULL, roll the capability back to monolith and start its sync anew: the copy brings what is missing.',
  });
}

/** Whatever a reader finds wrong, it is known of which column. */
function guarded(table: SourceTable, column: string, form: Form, read: Reader): Reader {
  return (json) => {
    try {
      return read(json);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new BanyanError(
        'FLOW_STOPPED',
        `column ${column} of ${table.schema}.${table.table} is not in the form ${form.kind}: ${reason}`,
        {
          hint: "The connector's modes are not what the definition says: name them there as they are in the connector.",
          cause: error,
        },
      );
    }
  };
}

function fieldsOf(schema: JsonObject): ReadonlyMap<string, JsonObject> {
  const fields = schema.get('fields');
  const found = new Map<string, JsonObject>();
  for (const field of isList(fields) ? fields : []) {
    if (!isObject(field)) continue;
    const name = field.get('field');
    if (typeof name === 'string') found.set(name, field);
  }
  return found;
}

/** Debezium's placeholder, in any of the forms that it has. */
function isUnavailable(json: Json): boolean {
  if (typeof json === 'string')
    return json === UNAVAILABLE || json === UNAVAILABLE_BYTES || json === UNAVAILABLE_HSTORE;
  if (isList(json))
    return (json.length === 1 && PLACEHOLDERS.has(json[0])) || isPlaceholderBytes(json);
  return isObject(json) && json.has(UNAVAILABLE);
}

const UNAVAILABLE_HSTORE = JSON.stringify({ [UNAVAILABLE]: UNAVAILABLE });
/** Alone in a list, by the type of its elements. */
const PLACEHOLDERS = new Set<Json | undefined>([UNAVAILABLE, UNAVAILABLE_BYTES, UNAVAILABLE_UUID]);
const UNAVAILABLE_NUMBERS = Array.from(Buffer.from(UNAVAILABLE), String);

function isPlaceholderBytes(json: readonly Json[]): boolean {
  return (
    json.length === UNAVAILABLE_NUMBERS.length &&
    json.every((item, index) => item instanceof Digits && item.text === UNAVAILABLE_NUMBERS[index])
  );
}
