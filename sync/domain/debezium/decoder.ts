// Decodes records, ours or a Debezium connector's, with or without their schemas, to changes with
// PostgreSQL's own texts. What cannot be read without loss is refused, never guessed.
import { BanyanError } from '../../../core/errors.ts';
import { parseLsn, type Lsn, type Position } from '../../../core/postgres/lsn.ts';
import type { Change, Relation, Tuple } from '../change.ts';
import { EXACT_MODES } from './encoder.ts';
import { Framed } from './framed.ts';
import { Digits, isList, isObject, readJson, type Json, type JsonObject } from './json-text.ts';
import { OwnForm } from './own-form.ts';
import { HEADERS, Positions } from './position.ts';
import { headOf, type RecordHead } from './record-head.ts';
import { RowReader, type RecordWriter } from './row-reader.ts';
import { DEBEZIUM_DEFAULTS, type Modes, type SourceTables } from './source.ts';

export interface InRecord {
  readonly topic: string;
  readonly key: string | null;
  readonly value: string | null;
  readonly headers: Readonly<Record<string, string>>;
}

interface Placed {
  /** Undefined in the records of a connector. */
  readonly position: Position | undefined;
}

interface Event extends Placed {
  /** Which of the records of one change. */
  readonly part: number;
  readonly head: RecordHead;
}

export type Decoded =
  | (Placed & { readonly kind: 'begin'; readonly xid: number })
  | (Placed & {
      readonly kind: 'end';
      readonly xid: number;
      readonly endLsn: Lsn | undefined;
      readonly count: number;
    })
  /** `snapshot`: a row that was read, not inserted. */
  | (Event & { readonly kind: 'change'; readonly change: Change; readonly snapshot: boolean })
  /** A change of a table that was not asked for. */
  | (Event & { readonly kind: 'foreign'; readonly schema: string; readonly table: string })
  | { readonly kind: 'tombstone' }
  | { readonly kind: 'heartbeat'; readonly atMs: number }
  | { readonly kind: 'other' };

export interface DecoderOptions {
  /** The tables that are wanted, with the columns that are; others are foreign. */
  readonly tables: SourceTables;
  readonly layout: 'changes' | 'table';
  /** The connector's modes that differ from its defaults; a record's own schema knows better. */
  readonly modes?: Partial<Modes>;
  /**
   * `update` makes one update of the delete and create that stand for a change of key: right where
   * both are in one partition. `pair` leaves them: right where each key has its own order.
   */
  readonly keyChanges?: 'update' | 'pair';
  /** `relay` unless named. */
  readonly writer?: RecordWriter;
}

/** Passed over, it would be missing for good. */
function noChange({ topic }: InRecord): BanyanError {
  return new BanyanError(
    'FLOW_STOPPED',
    `a record of topic ${topic} is no change as the connector writes it`,
    {
      hint: 'Does a transformation of the connector unwrap its records, or take their source away? The flow reads them as they are.',
    },
  );
}

/** Headers of the two records that stand for a change of key. */
const MOVES = ['__debezium.newkey', '__debezium.oldkey'] as const;

export function createDecoder(options: DecoderOptions): Decoder {
  return new Decoder(options);
}

export type { Decoder };

class Decoder {
  readonly #options: DecoderOptions;
  readonly #modes: Modes;
  readonly #framed = new Framed();
  readonly #form = new OwnForm();
  readonly #positions = new Positions();
  readonly #readers = new Map<string, RowReader>();
  /** A schema may be that of several tables, where a connector routes them to one topic. */
  readonly #schemaReaders = new WeakMap<
    JsonObject,
    (TableRef & { readonly reader: RowReader })[]
  >();
  /** The last table that was asked for without a schema: runs of changes of one are the rule. */
  #latest: (TableRef & { readonly reader: RowReader }) | undefined;

  constructor(options: DecoderOptions) {
    this.#options = options;
    const base = options.layout === 'changes' ? EXACT_MODES : DEBEZIUM_DEFAULTS;
    this.#modes = { ...base, ...options.modes };
  }

  /** Throws FLOW_STOPPED on a record that cannot be read, or not without loss. */
  decode(record: InRecord): Decoded {
    const { value } = record;
    if (value === null) return { kind: 'tombstone' };
    return this.#asOurs(record, value) ?? this.#asAny(record, value);
  }

  /** Undefined where it does not have the very form of ours. */
  #asOurs(record: InRecord, text: string): Decoded | undefined {
    const mark = this.#form.mark(text);
    if (mark) return this.#mark(record, mark.kind, mark.xid, mark.count);
    const found = this.#form.row(text);
    if (!found || MOVES.some((name) => record.headers[name] !== undefined)) return undefined;
    const { schema, table, operation, head, end } = found;
    const event = this.#placed(record, head);
    const reader = this.#reader({ schema, table }, undefined);
    if (!reader) return { kind: 'foreign', schema, table, ...event };
    const change = reader.written(text, operation, end);
    return change && { kind: 'change', change, snapshot: false, ...event };
  }

  #asAny(record: InRecord, text: string): Decoded {
    const { payload, schema } = this.#framed.read(record.topic, text);
    if (payload === null) return { kind: 'other' };
    if (!isObject(payload)) throw noChange(record);
    const op = payload.get('op');
    if (typeof op === 'string') return this.#event(record, payload, op, schema);
    if (isMark(payload)) {
      const count = payload.get('event_count');
      return this.#mark(
        record,
        payload.get('status') === 'BEGIN' ? 'begin' : 'end',
        Number.parseInt(textOf(payload, 'id'), 10),
        count instanceof Digits ? Number(count.text) : 0,
      );
    }
    const atMs = payload.get('ts_ms');
    if (payload.size !== 1 || !(atMs instanceof Digits)) throw noChange(record);
    return { kind: 'heartbeat', atMs: Number(atMs.text) };
  }

  #event(
    record: InRecord,
    payload: JsonObject,
    op: string,
    schema: JsonObject | undefined,
  ): Decoded {
    const source = payload.get('source');
    if (!isObject(source)) throw noChange(record);
    const event = this.#placed(record, headOf(source));
    if (op === 'm') {
      const change = messageOf(payload, this.#modes);
      return { kind: 'change', change, snapshot: false, ...event };
    }
    const name = { schema: textOf(source, 'schema'), table: textOf(source, 'table') };
    if (op === 't') return this.#truncate(record, name, event);
    const reader = this.#reader(name, schema);
    if (!reader) return { kind: 'foreign', ...name, ...event };
    const change = this.#row(record, reader, payload, op);
    if (!change) return { kind: 'other' };
    return { kind: 'change', change, snapshot: op === 'r', ...event };
  }

  #placed({ headers }: InRecord, head: RecordHead): Event {
    const part = headers[HEADERS.part];
    return {
      position: this.#positions.read(headers[HEADERS.position]),
      part: part === undefined ? 0 : Number(part),
      head,
    };
  }

  #mark({ headers }: InRecord, kind: 'begin' | 'end', xid: number, count: number): Decoded {
    const position = this.#positions.read(headers[HEADERS.position]);
    if (kind === 'begin') return { kind, position, xid };
    const end = headers[HEADERS.end];
    return { kind, position, xid, endLsn: end === undefined ? undefined : parseLsn(end), count };
  }

  #row(record: InRecord, reader: RowReader, payload: JsonObject, op: string): Change | undefined {
    const merged = this.#options.keyChanges === 'update' && reader.keyedByIdentity;
    const old = payload.get('before');
    if (op === 'd') {
      if (merged && keyOf(record.headers['__debezium.newkey'])) return undefined;
      if (!isObject(old)) throw withoutIdentity(reader.relation);
      return { kind: 'delete', relation: reader.relation, before: reader.before(old) };
    }
    const row = payload.get('after');
    if (!isObject(row)) throw noChange(record);
    const isMoved = record.headers['__debezium.oldkey'] !== undefined;
    const partly = reader.hasOldRows ? op === 'u' && !isObject(old) : op === 'u' || isMoved;
    const { relation, after } = reader.after(row, partly);
    if (op === 'u') {
      const before = isObject(old) ? reader.before(old) : undefined;
      return {
        kind: 'update',
        relation,
        before: before && aligned(reader, relation, before),
        after,
      };
    }
    const oldKey = merged ? keyOf(record.headers['__debezium.oldkey']) : undefined;
    if (oldKey) {
      const before = aligned(reader, relation, reader.before(oldKey));
      return { kind: 'update', relation, before, after };
    }
    // A row that moved and came in part is an update of what is not there, so that it is read again.
    if (after.includes(undefined)) return { kind: 'update', relation, before: undefined, after };
    return { kind: 'insert', relation, after };
  }

  #truncate(record: InRecord, name: TableRef, event: Event): Decoded {
    const header = record.headers[HEADERS.tables];
    const names = header === undefined ? [name] : namesOf(header);
    const relations = names.flatMap((one) => this.#reader(one, undefined)?.relation ?? []);
    if (relations.length === 0) return { kind: 'foreign', ...name, ...event };
    return { kind: 'change', change: { kind: 'truncate', relations }, snapshot: false, ...event };
  }

  #reader(name: TableRef, schema: JsonObject | undefined): RowReader | undefined {
    const latest = schema ? undefined : this.#latest;
    if (latest?.table === name.table && latest.schema === name.schema) return latest.reader;
    const table = this.#options.tables(name);
    if (!table) return undefined;
    if (schema) {
      const all = this.#schemaReaders.get(schema) ?? [];
      const known = all.find((one) => one.table === name.table && one.schema === name.schema);
      if (known) return known.reader;
      const reader = new RowReader(table, this.#modes, rowSchema(schema), this.#options.writer);
      this.#schemaReaders.set(schema, [...all, { ...name, reader }]);
      return reader;
    }
    const label = JSON.stringify([name.schema, name.table]);
    let reader = this.#readers.get(label);
    if (!reader) {
      reader = new RowReader(table, this.#modes, undefined, this.#options.writer);
      this.#readers.set(label, reader);
    }
    this.#latest = { ...name, reader };
    return reader;
  }
}

interface TableRef {
  readonly schema: string;
  readonly table: string;
}

/** The begin or end of a transaction. A row that was unwrapped may have a column of any of these names. */
function isMark(payload: JsonObject): boolean {
  const status = payload.get('status');
  return (
    (status === 'BEGIN' || status === 'END') &&
    typeof payload.get('id') === 'string' &&
    payload.has('event_count') &&
    payload.has('data_collections')
  );
}

/** An old row in the columns of a relation that has fewer. */
function aligned(reader: RowReader, relation: Relation, before: Tuple): Tuple {
  if (relation === reader.relation) return before;
  const byName = new Map(reader.relation.columns.map(({ name }, index) => [name, before[index]]));
  return relation.columns.map(({ name }) => byName.get(name));
}

function messageOf(payload: JsonObject, modes: Modes): Change {
  const message = payload.get('message');
  if (!isObject(message)) return { kind: 'message', prefix: '', content: '' };
  const encoding =
    modes.binary === 'hex' ? 'hex' : modes.binary === 'base64-url-safe' ? 'base64url' : 'base64';
  const content = Buffer.from(textOf(message, 'content'), encoding).toString('utf8');
  return { kind: 'message', prefix: textOf(message, 'prefix'), content };
}

function textOf(json: JsonObject, name: string): string {
  const value = json.get(name);
  return typeof value === 'string' ? value : '';
}

/** The schema of `after` in that of an envelope. */
function rowSchema(envelope: JsonObject): JsonObject | undefined {
  const fields = envelope.get('fields');
  return isList(fields)
    ? fields.filter(isObject).find((one) => one.get('field') === 'after')
    : undefined;
}

/** A key in a header; undefined when its converter wrote something else than JSON. */
function keyOf(header: string | undefined): JsonObject | undefined {
  if (!header?.startsWith('{')) return undefined;
  const json = readJson(header);
  const payload = isObject(json) && json.has('payload') ? json.get('payload') : json;
  return isObject(payload) ? payload : undefined;
}

function namesOf(header: string): readonly TableRef[] {
  const json: Json = readJson(header);
  if (!isList(json)) return [];
  return json.filter(isList).map(([schema, table]) => ({
    schema: typeof schema === 'string' ? schema : '',
    table: typeof table === 'string' ? table : '',
  }));
}

function withoutIdentity({ schema, table }: Relation): BanyanError {
  return new BanyanError('FLOW_STOPPED', `a delete of ${schema}.${table} does not say which row`, {
    hint: `Give ${schema}.${table} a primary key or REPLICA IDENTITY FULL.`,
  });
}
