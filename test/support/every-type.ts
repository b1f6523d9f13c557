// A column of every kind of type, with values that are hard to carry.

// name, type at the monolith, type at the service, values in SQL
export const COLUMNS: readonly (readonly [string, string, string, string, string])[] = [
  ['num', 'numeric', 'numeric', `'NaN'`, `'-0.000000000000000000012345678901234567890'`],
  ['inf', 'numeric', 'numeric', `'Infinity'`, `'-Infinity'`],
  ['dbl', 'double precision', 'double precision', `'1e-300'`, `'-Infinity'`],
  ['rl', 'real', 'double precision', `'1.5'`, `'NaN'`],
  ['ts', 'timestamptz', 'timestamptz', `'infinity'`, `'0044-03-15 10:00:00.123456+01 BC'`],
  ['tz', 'timestamp', 'timestamp', `'-infinity'`, `'294276-12-31 23:59:59.999999'`],
  ['dt', 'date', 'date', `'infinity'`, `'4713-01-01 BC'`],
  ['tm', 'time', 'time', `'24:00:00'`, `'00:00:00.000001'`],
  ['iv', 'interval', 'interval', `'-1 year 2 days -00:00:00.1'`, `'178956970 years'`],
  ['arr', 'integer[]', 'integer[]', `'[2:3]={1,NULL}'`, `'{}'`],
  [
    'txts',
    'text[]',
    'text[]',
    `ARRAY['a,"b"', E'c\\\\d{}', NULL, 'NULL', '', E'new\\nline']`,
    `'{{a,b},{c,d}}'`,
  ],
  ['js', 'json', 'json', `'{"b": 1,  "a": [null, "\\u00e9\\n"]}'`, `'"x"'`],
  ['jb', 'jsonb', 'jsonb', `'{"b": 1e400, "a": {"c": "\\""}}'`, `'null'`],
  ['jj', 'json', 'jsonb', `'{"b":1,"b":2}'`, `'[]'`],
  ['bin', 'bytea', 'bytea', `'\\x00ff5c27'`, `''`],
  [
    'uid',
    'uuid',
    'text',
    `'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'`,
    `'00000000-0000-0000-0000-000000000000'`,
  ],
  ['moo', 'mood', 'mood', `'so "so"'`, `'hap,py'`],
  ['rng', 'int4range', 'int4range', `'empty'`, `'(,5]'`],
  ['tr', 'tstzrange', 'tstzrange', `'["2020-01-01 00:00+00",)'`, `'(,)'`],
  ['mr', 'int4multirange', 'int4multirange', `'{[1,3),[5,9)}'`, `'{}'`],
  ['bits', 'bit(5)', 'bit(5)', `'10101'`, `'00000'`],
  ['vb', 'bit varying', 'bit varying', `'1010111'`, `''`],
  ['net', 'inet', 'inet', `'10.1.2.3/8'`, `'::1'`],
  ['mac', 'macaddr', 'macaddr', `'08:00:2b:01:02:03'`, `'00:00:00:00:00:00'`],
  ['pt', 'point', 'point', `'(1.1,2.2)'`, `'(-0,1e-300)'`],
  ['vec', 'tsvector', 'tsvector', `'''it''''s'':1A fat:2'`, `''`],
  ['ch', 'char(5)', 'text', `'ab'`, `''`],
  ['cc', 'char(5)', 'char(5)', `'ab'`, `'é'`],
  ['txt', 'text', 'text', `E'\\'"\\\\{},\\n\\t🦊 Ünïcödé NULL'`, `''`],
  ['bool', 'boolean', 'boolean', 'true', 'false'],
  ['comp', 'pair', 'pair', `ROW('a,"(', NULL)`, `ROW('', 1)`],
  ['dom', 'positive', 'positive', '5', '7'],
  ['doc', 'document', 'document', `'{"b": 1,  "a": 2}'`, `'[]'`],
  ['docs', 'document[]', 'document[]', `ARRAY['{"a":  1}', NULL]::document[]`, `'{}'`],
  ['mixed', 'mixed', 'mixed', `ROW('{"a":  1}', '(1,2)')`, `ROW(NULL, NULL)`],
  ['sum', 'amount', 'amount', `'NaN'`, `'-12.50'`],
  ['words', 'words', 'words', `ARRAY['a,b', NULL]`, `'{}'`],
  ['xm', 'xml', 'xml', `'<a b="c">d</a>'`, `'e<f/>'`],
  ['box', 'box', 'box', `'((1,1),(0,0))'`, `'((2,2),(-1,-1.5))'`],
  ['xid8', 'xid8', 'text', `'18446744073709551615'`, `'0'`],
];

export const TYPES = `
CREATE TYPE mood AS ENUM ('so "so"', 'hap,py');
CREATE TYPE pair AS (t text, n integer);
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE DOMAIN document AS json CHECK (json_typeof(VALUE) <> 'string');
CREATE DOMAIN amount AS numeric(12,2);
CREATE DOMAIN words AS text[];
CREATE TYPE mixed AS (doc json, at point);`;
export const table = (at: 1 | 2, name: string): string =>
  `CREATE TABLE ${name} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, ${COLUMNS.map((column) => `${column[0]} ${column[at]}`).join(', ')}, doubled integer GENERATED ALWAYS AS (length(txt) * 2) STORED)`;

// Keys that are not numbers, in orders that are not bytes: copied in chunks, so their order matters.
export const KEYS = `
CREATE TABLE keyed (a char(4), b text COLLATE "en-x-icu", c numeric(10,2), v text, PRIMARY KEY (b, a, c));
CREATE TABLE stamped (at timestamptz PRIMARY KEY, uid uuid NOT NULL, v text);`;
