// Rows of an outbox table as events, by the convention of Debezium's outbox event router: the topic by
// the aggregate's type, the key by its id, the payload alone as the value. Rows are only ever inserted;
// their deletion is no event.
import { BanyanError, messageOf } from '../../../core/errors.ts';
import type { Change, Relation, Tuple } from '../change.ts';
import { formOf } from './forms.ts';
import { quote, readJson } from './json-text.ts';
import { HEADERS } from './position.ts';
import { DEBEZIUM_DEFAULTS, type SourceTable, type SourceTables } from './source.ts';
import type { OutRecord } from './out-record.ts';
import { topicName } from './topics.ts';
import { writerOf, type Writer } from './write-value.ts';

/** One outbox table; the names in brackets are the router's own. */
export interface OutboxSettings {
  /** `schema.table`. */
  readonly table: string;
  readonly columns: {
    /** Goes into header `id` (table.field.event.id). */
    readonly id: string;
    /** (table.field.event.key). */
    readonly key: string;
    /** (table.field.event.payload). */
    readonly payload: string;
    /** By its value the topic is chosen, where that has a place for it (route.by.field). */
    readonly routeBy: string;
  };
  /** `${routedByValue}` stands for that value (route.topic.replacement). */
  readonly topic: string;
  /** (table.fields.additional.placement). */
  readonly additional: readonly {
    readonly column: string;
    readonly placement: 'header' | 'envelope' | 'partition';
    readonly alias: string;
  }[];
  /** A JSON payload as JSON, not as a text that holds it (table.expand.json.payload). */
  readonly expandJson: boolean;
  /** (route.tombstone.on.empty.payload). */
  readonly tombstoneOnEmpty: boolean;
  /** (table.op.invalid.behavior). */
  readonly onUpdate: 'warn' | 'refuse';
}

export interface OutboxRecord extends OutRecord {
  readonly partition?: number;
}

export interface Routed {
  readonly records: readonly OutboxRecord[];
  /** Something that should not have been, but does not stop anything. */
  readonly warning?: string;
  /** Why the row cannot be an event. */
  readonly unfit?: string;
}

const NONE: Routed = { records: [] };

interface Field {
  readonly index: number;
  readonly write: Writer;
}

interface Route {
  readonly settings: OutboxSettings;
  readonly field: (tuple: Tuple, column: string) => string | null;
  readonly json: (tuple: Tuple, column: string) => string;
}

export function createOutboxRouter(options: {
  readonly outboxes: readonly OutboxSettings[];
  readonly tables: SourceTables;
}): OutboxRouter {
  return new OutboxRouter(options.outboxes, options.tables);
}

export type { OutboxRouter };

class OutboxRouter {
  readonly #settings: ReadonlyMap<string, OutboxSettings>;
  readonly #tables: SourceTables;
  readonly #routes = new WeakMap<Relation, Route>();

  constructor(outboxes: readonly OutboxSettings[], tables: SourceTables) {
    this.#settings = new Map(outboxes.map((one) => [one.table, one]));
    this.#tables = tables;
  }

  /**
   * The events of a change; undefined when it is of no outbox table. What is wrong with one row is
   * said, not thrown. Throws FLOW_STOPPED when a column that the settings name is missing, or at an
   * update that is to be refused.
   */
  route(change: Change, position: string): Routed | undefined {
    if (change.kind === 'message' || change.kind === 'truncate') return undefined;
    const { relation } = change;
    const settings = this.#settings.get(`${relation.schema}.${relation.table}`);
    if (!settings) return undefined;
    if (change.kind === 'delete') return NONE;
    if (change.kind === 'update') return updated(settings);
    const route = this.#route(settings, relation);
    try {
      return { records: [eventOf(route, change.after, position)] };
    } catch (error) {
      return { records: [], unfit: messageOf(error) };
    }
  }

  #route(settings: OutboxSettings, relation: Relation): Route {
    const known = this.#routes.get(relation);
    if (known) return known;
    const fields = fieldsOf(relation, this.#tables(relation));
    const field = (column: string): Field => {
      const found = fields.get(column);
      if (found) return found;
      throw new BanyanError(
        'FLOW_STOPPED',
        `outbox table ${settings.table} has no column ${column}`,
        {
          hint: 'Name the columns of the table under outbox.columns in changeLog.kafka.',
        },
      );
    };
    // A name that is wrong is wrong for every row.
    const { columns, additional } = settings;
    for (const name of [...Object.values(columns), ...additional.map(({ column }) => column)])
      field(name);
    const made: Route = {
      settings,
      field: (tuple, column) => tuple[field(column).index] ?? null,
      json: (tuple, column) => {
        const { index, write } = field(column);
        const value = tuple[index];
        return value === null || value === undefined ? 'null' : write(value);
      },
    };
    this.#routes.set(relation, made);
    return made;
  }
}

function fieldsOf(relation: Relation, table: SourceTable | undefined): ReadonlyMap<string, Field> {
  const types = new Map(table?.columns.map(({ name, type }) => [name, type]));
  return new Map(
    relation.columns.map(({ name }, index): [string, Field] => {
      const type = types.get(name);
      const form = type && formOf(type, { ...DEBEZIUM_DEFAULTS, exact: true });
      return [name, { index, write: form ? writerOf(form, true) : quote }];
    }),
  );
}

function updated({ table, onUpdate }: OutboxSettings): Routed {
  const message = `a row of outbox table ${table} was updated: events are only ever inserted`;
  if (onUpdate === 'warn') return { records: [], warning: message };
  throw new BanyanError('FLOW_STOPPED', message, {
    hint: "Write a new row for a new event, or set onUpdate: 'warn' to let such updates pass.",
  });
}

function eventOf({ settings, field, json }: Route, row: Tuple, position: string): OutboxRecord {
  const { columns, additional, expandJson, tombstoneOnEmpty } = settings;
  const headers: Record<string, string> = { id: needed(field(row, columns.id), columns.id) };
  const envelope: string[] = [];
  let partition: number | undefined;
  for (const { column, placement, alias } of additional) {
    const value = field(row, column);
    if (placement === 'envelope') envelope.push(`${quote(alias)}:${json(row, column)}`);
    else if (value === null) continue;
    else if (placement === 'header') headers[alias] = value;
    else partition = partitionOf(value, column);
  }
  headers[HEADERS.position] = position;
  const payload = field(row, columns.payload);
  const shown = expandJson && payload !== null ? expanded(payload) : json(row, columns.payload);
  const value = envelope.length === 0 ? shown : `{"payload":${shown},${envelope.join(',')}}`;
  const empty = payload === null || payload.trim() === '';
  return {
    topic: topicName(
      settings.topic.replaceAll(ROUTED_BY, () =>
        needed(field(row, columns.routeBy), columns.routeBy),
      ),
    ),
    key: json(row, columns.key),
    value: empty && tombstoneOnEmpty ? null : value,
    headers,
    ...(partition === undefined ? {} : { partition }),
  };
}

/** Only where it stands in the topic does a row need a kind; the router's own task would fail at one that has none. */
const ROUTED_BY = '${routedByValue}';

/** Nobody waits for events of no kind, and one without an id cannot be told from the next. */
function needed(value: string | null, column: string): string {
  if (value === null) throw new RangeError(`its ${column} is NULL`);
  return value;
}

/** What is no number would stand in no partition at all, and be lost. */
function partitionOf(value: string, column: string): number {
  const number = Number(value);
  if (/^\d+$/.test(value) && number <= 2_147_483_647) return number;
  throw new RangeError(`its ${column} is no number of a partition: '${value}'`);
}

/** Objects and lists as they are; any other text as a text, as the router does. */
function expanded(payload: string): string {
  if (!/^[{[]/.test(payload)) return quote(payload);
  try {
    readJson(payload);
    return payload;
  } catch {
    return quote(payload);
  }
}
