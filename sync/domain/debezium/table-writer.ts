// Writes the rows of one table: made once per shape of the table, then called for every change. A value
// that its form has no place for ends the stream, and is named; of a table whose rows nobody reads here
// (an outbox: its events are written elsewhere, or are dead letters) it stands as PostgreSQL's text.
import { BanyanError, messageOf } from '../../../core/errors.ts';
import type { Tuple } from '../change.ts';
import type { Relation } from '../change.ts';
import { schemaOf, type ConnectField } from './connect-schema.ts';
import { literalDefault } from './defaults.ts';
import { formOf, type Form } from './forms.ts';
import { quote } from './json-text.ts';
import {
  UNAVAILABLE,
  UNAVAILABLE_BYTES,
  UNAVAILABLE_UUID,
  type Modes,
  type SourceColumn,
  type SourceTable,
} from './source.ts';
import { writerOf, type Writer } from './write-value.ts';
import { zeroOf } from './zero.ts';

interface Cell {
  /** Where its value is in a tuple. */
  readonly index: number;
  /** `"name":`. */
  readonly label: string;
  readonly kind: Form['kind'];
  readonly write: Writer;
  readonly unavailable: string;
  /** Written for NULL in an old row, which has only its key: the connector does so too. */
  readonly nothing: string;
  readonly identity: boolean;
  /** Place in the key; 0 is none. */
  readonly keyPlace: number;
  readonly field: ConnectField;
}

export class TableWriter {
  readonly topic: string;
  readonly name: string;
  readonly #cells: readonly Cell[];
  readonly #keys: readonly Cell[];
  readonly #exact: boolean;

  /** The shape of `relation` must be that of `table`: see `fits`. */
  constructor(
    topic: string,
    relation: Relation,
    table: SourceTable,
    { isOutbox, ...modes }: Modes & { readonly isOutbox: boolean },
  ) {
    this.topic = topic;
    this.name = `${relation.schema}.${relation.table}`;
    this.#exact = modes.exact;
    const columns = new Map(table.columns.map((column) => [column.name, column]));
    this.#cells = relation.columns.flatMap(({ name, key }, index) => {
      const column = columns.get(name);
      const form = column && formOf(column.type, modes);
      if (!form) return [];
      const made = cell(column, form, index, key, modes);
      return [isOutbox ? { ...made, write: orText(made.write) } : made];
    });
    this.#keys = this.#cells
      .filter(({ keyPlace }) => keyPlace > 0)
      .sort((a, b) => a.keyPlace - b.keyPlace);
  }

  get hasKey(): boolean {
    return this.#keys.length > 0;
  }

  get valueFields(): readonly ConnectField[] {
    return this.#cells.map(({ field }) => field);
  }

  get keyFields(): readonly ConnectField[] {
    return this.#keys.map(({ field }) => field);
  }

  /** Throws FLOW_STOPPED at a value that cannot be written; so do the others. */
  after(tuple: Tuple): string {
    try {
      return this.#whole(tuple, false);
    } catch (error) {
      throw this.#named(tuple, error);
    }
  }

  before(tuple: Tuple): string {
    try {
      return this.#before(tuple);
    } catch (error) {
      throw this.#named(tuple, error);
    }
  }

  key(tuple: Tuple): string {
    try {
      return this.#key(tuple);
    } catch (error) {
      throw this.#named(tuple, error);
    }
  }

  /** In a new row NULL is NULL, whatever the catalog says by now: the column may have been altered since. */
  #whole(tuple: Tuple, isOld: boolean): string {
    let json = '{';
    let comma = '';
    for (const { index, label, write, unavailable, nothing } of this.#cells) {
      const value = tuple[index];
      json += comma + label;
      if (value === undefined) json += unavailable;
      else if (value === null) json += isOld ? nothing : 'null';
      else json += write(value);
      comma = ',';
    }
    return json + '}';
  }

  #before(tuple: Tuple): string {
    if (!this.#exact) return this.#whole(tuple, true);
    let json = '{';
    let comma = '';
    for (const { index, label, write, identity } of this.#cells) {
      const value = tuple[index];
      if (value === undefined || !identity) continue;
      json += comma + label + (value === null ? 'null' : write(value));
      comma = ',';
    }
    return json + '}';
  }

  #key(tuple: Tuple): string {
    let json = '{';
    let comma = '';
    for (const { index, label, write } of this.#keys) {
      const value = tuple[index];
      json += comma + label + (value === null || value === undefined ? 'null' : write(value));
      comma = ',';
    }
    return json + '}';
  }

  /** Says of which column the value is that could not be written. */
  #named(tuple: Tuple, error: unknown): unknown {
    for (const one of this.#cells) {
      const value = tuple[one.index];
      const reason = typeof value === 'string' ? failureOf(one.write, value) : undefined;
      if (reason !== undefined) return unwritable(this.name, one, reason, error);
    }
    return error;
  }

  /** True when the old row has other values in the key; a key that it does not hold has not changed. */
  keyChanges(before: Tuple, after: Tuple): boolean {
    return this.#keys.some(({ index, identity }) => identity && before[index] !== after[index]);
  }
}

/** True when the catalog knows every column of the relation. */
export function fits(relation: Relation, table: SourceTable | undefined): table is SourceTable {
  if (!table) return false;
  const known = new Set(table.columns.map(({ name }) => name));
  return relation.columns.every(({ name }) => known.has(name));
}

/** Writes PostgreSQL's text where the value itself cannot be written. */
function orText(write: Writer): Writer {
  return (text) => {
    try {
      return write(text);
    } catch {
      return quote(text);
    }
  };
}

function failureOf(write: Writer, value: string): string | undefined {
  try {
    write(value);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

function unwritable(
  table: string,
  { label, kind }: Cell,
  reason: string,
  cause: unknown,
): BanyanError {
  return new BanyanError(
    'FLOW_STOPPED',
    `a value of column ${label.slice(0, -1)} of ${table} cannot be written as ${kind}: ${reason}`,
    {
      hint: 'Nothing behind it is written. Does the database print such values in a form of its own (lc_monetary)? Set the usual one, and the relay goes on. If not, roll the capability that maps this table back to monolith.',
      cause,
    },
  );
}

function cell(
  column: SourceColumn,
  form: Form,
  index: number,
  identity: boolean,
  modes: Modes,
): Cell {
  const { name, type, notNull, keyPlace = 0 } = column;
  const write = writerOf(form, modes.exact);
  const literal = modes.exact ? undefined : literalDefault(type, column.defaultText);
  // Connect has no defaults that are structs.
  const initial = literal === undefined || form.kind === 'variable' ? undefined : write(literal);
  return {
    index,
    label: `${quote(name)}:`,
    kind: form.kind,
    write,
    unavailable: modes.exact ? quote(UNAVAILABLE) : unavailableOf(form),
    nothing: modes.exact || !notNull ? 'null' : (initial ?? zeroOf(form, type)),
    identity,
    keyPlace,
    field: {
      ...schemaOf(form, !notNull),
      ...(initial === undefined ? {} : { default: initial }),
      field: name,
    },
  };
}

/** The placeholder in the form of the column, as far as the connector has one. */
function unavailableOf(form: Form): string {
  switch (form.kind) {
    case 'binary':
      return quote(form.as === 'hex' ? UNAVAILABLE : UNAVAILABLE_BYTES);
    case 'hstore': {
      const map = JSON.stringify({ [UNAVAILABLE]: UNAVAILABLE });
      return form.as === 'map' ? map : quote(map);
    }
    case 'array':
      return JSON.stringify(unavailableItems(form.items));
    default:
      return quote(UNAVAILABLE);
  }
}

/** Of some elements the connector has none, and writes NULL: ours have a text there still. */
function unavailableItems(items: Form): readonly (string | number)[] {
  switch (items.kind) {
    case 'integer':
    case 'temporal':
      return Array.from(Buffer.from(UNAVAILABLE));
    case 'binary':
      return [UNAVAILABLE_BYTES];
    case 'text':
      return [items.logical === 'io.debezium.data.Uuid' ? UNAVAILABLE_UUID : UNAVAILABLE];
    default:
      return [UNAVAILABLE];
  }
}
