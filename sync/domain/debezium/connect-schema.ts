// Kafka Connect's schemas as its JsonConverter writes them beside a payload: of a form, and back.
import type { Clock, Form, Unit } from './forms.ts';
import { Digits, isObject, type Json, type JsonObject } from './json-text.ts';
import type { SourceType } from './source.ts';

/** A schema without its field's name; the order of members is the converter's. */
export interface ConnectSchema {
  readonly type: string;
  readonly items?: ConnectSchema;
  readonly keys?: ConnectSchema;
  readonly values?: ConnectSchema;
  readonly fields?: readonly ConnectField[];
  readonly optional: boolean;
  readonly name?: string;
  readonly version?: number;
  readonly doc?: string;
  readonly parameters?: Readonly<Record<string, string>>;
  /** Its JSON, which may have more digits than a double. */
  readonly default?: string;
}

export type ConnectField = ConnectSchema & { readonly field: string };

/** A schema's JSON. */
export function printSchema(schema: ConnectSchema | ConnectField): string {
  const members = Object.entries(schema).map(([name, value]: [string, unknown]) => {
    if (name === 'default') return `"default":${String(value)}`;
    if (name === 'fields')
      return `"fields":[${(value as readonly ConnectField[]).map(printSchema).join(',')}]`;
    if (typeof value === 'object' && value !== null && 'type' in value)
      return `"${name}":${printSchema(value as ConnectSchema)}`;
    return `"${name}":${JSON.stringify(value)}`;
  });
  return `{${members.join(',')}}`;
}

const named = (type: string, name: string, parameters?: Record<string, string>) => ({
  type,
  name,
  version: 1,
  ...(parameters ? { parameters } : {}),
});

const DECIMAL = 'org.apache.kafka.connect.data.Decimal';

/** Names of the temporal schemas: by `io.debezium.time` or, in mode `connect`, by Kafka Connect. */
const TEMPORAL: Readonly<
  Record<Clock, Partial<Record<Unit, readonly [type: string, name: string]>>>
> = {
  date: {
    days: ['int32', 'io.debezium.time.Date'],
    iso: ['string', 'io.debezium.time.IsoDate'],
    connect: ['int32', 'org.apache.kafka.connect.data.Date'],
  },
  time: {
    ms: ['int32', 'io.debezium.time.Time'],
    us: ['int64', 'io.debezium.time.MicroTime'],
    ns: ['int64', 'io.debezium.time.NanoTime'],
    iso: ['string', 'io.debezium.time.IsoTime'],
    connect: ['int32', 'org.apache.kafka.connect.data.Time'],
  },
  timestamp: {
    ms: ['int64', 'io.debezium.time.Timestamp'],
    us: ['int64', 'io.debezium.time.MicroTimestamp'],
    ns: ['int64', 'io.debezium.time.NanoTimestamp'],
    iso: ['string', 'io.debezium.time.IsoTimestamp'],
    connect: ['int64', 'org.apache.kafka.connect.data.Timestamp'],
  },
};

export function schemaOf(form: Form, optional: boolean): ConnectSchema {
  return { ...bare(form), optional };
}

function bare(form: Form): Omit<ConnectSchema, 'optional'> {
  switch (form.kind) {
    case 'integer':
      return { type: `int${form.bits}` };
    case 'boolean':
    case 'bit':
      return { type: 'boolean' };
    case 'float':
      return { type: form.bits === 32 ? 'float' : 'double' };
    case 'text':
      if (form.logical === undefined) return { type: 'string' };
      return named(
        'string',
        form.logical,
        form.allowed === undefined ? undefined : { allowed: form.allowed },
      );
    case 'decimal':
      return named('bytes', DECIMAL, {
        scale: String(form.scale),
        ...(form.precision === undefined
          ? {}
          : { 'connect.decimal.precision': String(form.precision) }),
      });
    case 'variable':
      return {
        fields: [
          { type: 'int32', optional: false, field: 'scale' },
          { type: 'bytes', optional: false, field: 'value' },
        ],
        ...named('struct', 'io.debezium.data.VariableScaleDecimal'),
        doc: 'Variable scaled decimal',
      };
    case 'number':
      return { type: 'double' };
    case 'money':
      if (form.as === 'precise') return named('bytes', DECIMAL, { scale: '2' });
      return { type: form.as === 'double' ? 'double' : 'string' };
    case 'temporal': {
      const [type, name] = TEMPORAL[form.of][form.as] ?? ['int64', ''];
      return named(type, name);
    }
    case 'zoned':
      return named('string', `io.debezium.time.Zoned${form.of === 'time' ? 'Time' : 'Timestamp'}`);
    case 'duration':
      return named('int64', 'io.debezium.time.MicroDuration');
    case 'interval':
      return named('string', 'io.debezium.time.Interval');
    case 'binary':
      return { type: form.as === 'bytes' ? 'bytes' : 'string' };
    case 'bits':
      return named('bytes', 'io.debezium.data.Bits', { length: String(form.length) });
    case 'hstore':
      if (form.as === 'json') return named('string', 'io.debezium.data.Json');
      return {
        type: 'map',
        keys: { type: 'string', optional: false },
        values: { type: 'string', optional: true },
      };
    case 'array':
      return {
        type: 'array',
        items: schemaOf(form.items, form.items.kind !== 'text' || form.items.allowed === undefined),
      };
  }
}

const FORMS = new Map<string, Form>(
  (['date', 'time', 'timestamp'] as const).flatMap((of) =>
    Object.entries(TEMPORAL[of]).map(([as, [, name]]): [string, Form] => [
      name,
      { kind: 'temporal', of, as: as as Unit },
    ]),
  ),
);

const BY_NAME: Readonly<Record<string, Form>> = {
  'io.debezium.data.VariableScaleDecimal': { kind: 'variable' },
  'io.debezium.time.ZonedTimestamp': { kind: 'zoned', of: 'timestamp', width: 0 },
  'io.debezium.time.ZonedTime': { kind: 'zoned', of: 'time', width: 0 },
  'io.debezium.time.MicroDuration': { kind: 'duration' },
  'io.debezium.time.Interval': { kind: 'interval' },
};

/**
 * The form that a record's own schema tells of, for a column of this type. `fallback` is what the
 * modes say and decides where the schema leaves it open (a string may hold hexadecimal digits).
 */
export function formOfSchema(schema: JsonObject, type: SourceType, fallback: Form): Form {
  const name = schema.get('name');
  if (typeof name === 'string') {
    const known = BY_NAME[name] ?? FORMS.get(name);
    if (known) return known;
    if (name === DECIMAL)
      return { kind: 'decimal', scale: Number(parameter(schema, 'scale') ?? '0') };
    if (name === 'io.debezium.data.Bits')
      return { kind: 'bits', length: Number(parameter(schema, 'length') ?? '0') };
  }
  const items = schema.get('items');
  if (isObject(items) && type.element)
    return {
      kind: 'array',
      items: formOfSchema(
        items,
        type.element,
        fallback.kind === 'array' ? fallback.items : { kind: 'text' },
      ),
    };
  return plainForm(schema.get('type'), type, fallback);
}

function plainForm(kind: Json | undefined, type: SourceType, fallback: Form): Form {
  switch (type.name) {
    case 'numeric':
    case 'money':
      return kind === 'string' ? { kind: 'text' } : { kind: 'number' };
    case 'bytea':
      if (kind === 'bytes') return { kind: 'binary', as: 'bytes' };
      return fallback.kind === 'binary' && fallback.as !== 'bytes'
        ? fallback
        : { kind: 'binary', as: 'base64' };
    case 'hstore':
      return { kind: 'hstore', as: kind === 'map' ? 'map' : 'json' };
    default:
      return fallback;
  }
}

function parameter(schema: JsonObject, name: string): string | undefined {
  const parameters = schema.get('parameters');
  const value = isObject(parameters) ? parameters.get(name) : undefined;
  return typeof value === 'string' ? value : value instanceof Digits ? value.text : undefined;
}
