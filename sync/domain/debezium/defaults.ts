// A column's default as its schema in a record has it. The connector reads PostgreSQL's printed
// expression by these rules (PostgresDefaultValueConverter): what stands between the first quotes, or
// the expression itself; for the call of a function a value that stands for any.
import { parseDecimal, printDecimal, withScale } from './decimals.ts';
import { numericLimits } from './forms.ts';
import type { SourceType } from './source.ts';

const QUOTED = /'(.*?)'/s;
const CALL = /^\(?\w+\((?:.+)?\)/;
const NUMBER = /^(?:[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|NaN|[+-]?Infinity)$/i;
const WHOLE = /^[+-]?\d+$/;

/** What the call of a function gives, and what the text has to look like. */
const RULES: Readonly<Record<string, readonly [called: string, valid: RegExp]>> = {
  ...{ int2: ['0', WHOLE], int4: ['0', WHOLE], int8: ['0', WHOLE] },
  ...{ numeric: ['0.0', NUMBER], float4: ['0.0', NUMBER], float8: ['0.0', NUMBER] },
  bool: ['false', /^/],
  bit: ['00', /^[01]*$/],
  varbit: ['0', /^[01]*$/],
  ...{ bpchar: ['', /^/], varchar: ['', /^/], text: ['', /^/], xml: ['', /^/] },
  ...{ json: ['{}', /^/], jsonb: ['{}', /^/] },
  uuid: ['00000000-0000-0000-0000-000000000000', /^[\da-f-]{36}$/i],
  date: ['1970-01-01', /^\d{4,}-\d\d-\d\d/],
  time: ['00:00:00', /^\d\d:\d\d:\d\d/],
  timestamp: ['1970-01-01 00:00:00', /^\d{4,}-\d\d-\d\d/],
  timestamptz: ['1970-01-01 00:00:00+00', /^\d{4,}-\d\d-\d\d/],
  interval: ['00:00:00', /\d/],
};

const NULLABLE = new Set(['bool', 'numeric', 'float4', 'float8', 'int2', 'int4', 'int8']);

/** PostgreSQL's text of the default; undefined where there is none or the connector cannot read it. */
export function literalDefault(
  type: SourceType,
  expression: string | undefined,
): string | undefined {
  if (expression === undefined) return undefined;
  if (type.labels) return QUOTED.exec(expression)?.[1];
  const rule = RULES[type.name];
  if (!rule || (NULLABLE.has(type.name) && expression.startsWith('NULL::'))) return undefined;
  const [called, valid] = rule;
  if (CALL.test(expression)) return called;
  const text = QUOTED.exec(expression)?.[1] ?? expression;
  if (!valid.test(text)) return undefined;
  return completed(type, text);
}

/** As PostgreSQL would print the value. */
function completed({ name, typmod }: SourceType, text: string): string {
  switch (name) {
    case 'bool':
      return text.toLowerCase() === 'true' ? 't' : 'f';
    case 'timestamp':
      return text.includes(' ') ? text : `${text} 00:00:00`;
    case 'timestamptz':
      if (!text.includes(' ')) return `${text} 00:00:00+00`;
      return /[+-]\d\d(?::\d\d)*$/.test(text) ? text : `${text}+00`;
    case 'numeric': {
      const number = parseDecimal(text);
      const limits = numericLimits(typmod);
      return number && limits ? printDecimal(withScale(number, limits.scale), limits.scale) : text;
    }
    case 'float4':
    case 'float8':
      return String(Number(text));
    default:
      return text;
  }
}
