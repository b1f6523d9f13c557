// The form in which a column's values are in Debezium's records, by its type and the connector's
// modes (debezium.io, "Data type mappings" of the PostgreSQL connector). Undefined for a type that
// the connector leaves out.
import type { Decimals, Modes, SourceType, Temporals } from './source.ts';

export type Clock = 'date' | 'time' | 'timestamp';
export type Unit = 'days' | 'ms' | 'us' | 'ns' | 'iso' | 'connect';

export type Form =
  | { readonly kind: 'integer'; readonly bits: 16 | 32 | 64 }
  | { readonly kind: 'boolean' }
  | { readonly kind: 'bit' }
  | { readonly kind: 'float'; readonly bits: 32 | 64 }
  /** Any text as it is; `logical` is the name of its schema. */
  | { readonly kind: 'text'; readonly logical?: string; readonly allowed?: string }
  | { readonly kind: 'decimal'; readonly scale: number; readonly precision?: number | undefined }
  | { readonly kind: 'variable' }
  | { readonly kind: 'number' }
  | { readonly kind: 'money'; readonly as: Decimals }
  | { readonly kind: 'temporal'; readonly of: Clock; readonly as: Unit }
  /** UTC in ISO 8601; `width` digits of a second's fraction, 0 for as few as needed. */
  | { readonly kind: 'zoned'; readonly of: 'time' | 'timestamp'; readonly width: number }
  | { readonly kind: 'duration' }
  | { readonly kind: 'interval' }
  | { readonly kind: 'binary'; readonly as: Modes['binary'] }
  | { readonly kind: 'bits'; readonly length: number }
  | { readonly kind: 'hstore'; readonly as: Modes['hstore'] }
  | { readonly kind: 'array'; readonly items: Form };

const PLAIN: Form = { kind: 'text' };
const logical = (name: string): Form => ({ kind: 'text', logical: `io.debezium.data.${name}` });

const FIXED: Readonly<Record<string, Form>> = {
  int2: { kind: 'integer', bits: 16 },
  int4: { kind: 'integer', bits: 32 },
  int8: { kind: 'integer', bits: 64 },
  oid: { kind: 'integer', bits: 64 },
  bool: { kind: 'boolean' },
  float4: { kind: 'float', bits: 32 },
  float8: { kind: 'float', bits: 64 },
  json: logical('Json'),
  jsonb: logical('Json'),
  uuid: logical('Uuid'),
  xml: logical('Xml'),
  tsvector: logical('Tsvector'),
  ltree: logical('Ltree'),
};

const TEXTS = new Set([
  ...['text', 'varchar', 'bpchar', 'char', 'name', 'citext', 'inet', 'cidr', 'macaddr', 'macaddr8'],
  ...['int4range', 'int8range', 'numrange', 'tsrange', 'tstzrange', 'daterange'],
]);

/** Their elements the connector carries, but not arrays of them. */
const NOT_IN_ARRAYS = new Set(['money', 'name', 'interval', 'bit', 'varbit', 'xml']);

/** What pgjdbc calls the length of a `varbit` that has none. */
const UNLIMITED = 2_147_483_647;

/** The form of a column; in exact modes every type has one. */
export function formOf(type: SourceType, modes: Modes): Form | undefined {
  return modes.exact ? (exactForm(type, modes) ?? PLAIN) : connectorForm(type, modes);
}

/** Types whose Debezium form keeps less than PostgreSQL's text does. */
const KEPT_AS_TEXT = new Set(['interval', 'timetz', 'varbit', 'money']);

function exactForm(type: SourceType, modes: Modes): Form | undefined {
  if (KEPT_AS_TEXT.has(type.name)) return PLAIN;
  if (!type.element) return connectorForm(type, modes);
  const items = exactForm(type.element, modes);
  return items && { kind: 'array', items };
}

function connectorForm(type: SourceType, modes: Modes): Form | undefined {
  if (type.element) {
    if (NOT_IN_ARRAYS.has(type.element.name)) return undefined;
    const items = connectorForm(type.element, modes);
    return items && { kind: 'array', items };
  }
  if (type.labels)
    return { kind: 'text', logical: 'io.debezium.data.Enum', allowed: type.labels.join(',') };
  const fixed = FIXED[type.name];
  if (fixed) return fixed;
  if (TEXTS.has(type.name)) return PLAIN;
  return parameterised(type, modes);
}

function parameterised({ name, typmod }: SourceType, modes: Modes): Form | undefined {
  switch (name) {
    case 'numeric':
      return numeric(typmod, modes.decimals);
    case 'money':
      return { kind: 'money', as: modes.decimals };
    case 'date':
      return { kind: 'temporal', of: 'date', as: dateUnit(modes.temporals) };
    case 'time':
      return { kind: 'temporal', of: 'time', as: timeUnit(modes.temporals, digits(typmod)) };
    case 'timestamp':
      return { kind: 'temporal', of: 'timestamp', as: unit(modes.temporals, digits(typmod)) };
    case 'timestamptz':
      return { kind: 'zoned', of: 'timestamp', width: digits(typmod) };
    case 'timetz':
      return { kind: 'zoned', of: 'time', width: 0 };
    case 'interval':
      return { kind: modes.intervals === 'string' ? 'interval' : 'duration' };
    case 'bytea':
      return { kind: 'binary', as: modes.binary };
    case 'bit':
      return typmod === 1 ? { kind: 'bit' } : { kind: 'bits', length: typmod };
    case 'varbit':
      if (typmod === 1) return { kind: 'bit' };
      return { kind: 'bits', length: typmod === -1 ? UNLIMITED : typmod };
    case 'hstore':
      return { kind: 'hstore', as: modes.hstore };
    default:
      return undefined;
  }
}

/** Digits of a second's fraction that a column of this modifier holds. */
export function digits(typmod: number): number {
  return typmod === -1 ? 6 : typmod;
}

/** Precision and scale of `numeric(p,s)`. */
export function numericLimits(typmod: number): { precision: number; scale: number } | undefined {
  if (typmod === -1) return undefined;
  const modifier = typmod - 4;
  return { precision: (modifier >> 16) & 0xffff, scale: ((modifier & 0x7ff) ^ 1_024) - 1_024 };
}

function numeric(typmod: number, decimals: Decimals): Form {
  if (decimals === 'string') return PLAIN;
  if (decimals === 'double') return { kind: 'number' };
  const limits = numericLimits(typmod);
  return limits ? { kind: 'decimal', ...limits } : { kind: 'variable' };
}

function dateUnit(temporals: Temporals): Unit {
  return temporals === 'isostring' ? 'iso' : temporals === 'connect' ? 'connect' : 'days';
}

function timeUnit(temporals: Temporals, precision: number): Unit {
  return temporals === 'adaptive_time_microseconds' ? 'us' : unit(temporals, precision);
}

function unit(temporals: Temporals, precision: number): Unit {
  switch (temporals) {
    case 'adaptive':
    case 'adaptive_time_microseconds':
      return precision <= 3 ? 'ms' : 'us';
    case 'microseconds':
      return 'us';
    case 'nanoseconds':
      return 'ns';
    case 'isostring':
      return 'iso';
    case 'connect':
      return 'connect';
  }
}
