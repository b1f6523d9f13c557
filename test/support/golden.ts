// The script that is run through Debezium's engine and through the relay's codec: a column of every
// type that the connector carries, every operation, both replica identities.

/** name, type, then values in SQL; NULL is tried for each of them besides. */
const TYPES: readonly (readonly [name: string, type: string, ...values: string[]])[] = [
  ['c_int2', 'smallint', '-32768', '32767'],
  ['c_int4', 'integer', '-2147483648', '0'],
  ['c_int8', 'bigint', '9223372036854775807', '-9223372036854775808'],
  ['c_oid', 'oid', '1', '2147483647'],
  ['c_bool', 'boolean', 'true', 'false'],
  ['c_float4', 'real', '1.1', '-1e-20', `'NaN'`],
  ['c_float8', 'double precision', '0.1', '1e300', `'-Infinity'`],
  ['c_numeric', 'numeric(12,2)', '1234567890.12', '-0.01', '0'],
  ['c_whole', 'numeric(30)', '123456789012345678901234567890', '-1'],
  ['c_bare', 'numeric', '1.50', '-123456789012345678901234567890.0123456789', '100'],
  ['c_money', 'money', `'1234.50'`, `'-0.05'`],
  ['c_char', 'char(5)', `'ab'`, `'é'`],
  ['c_char1', 'char', `'x'`, `'y'`],
  ['c_varchar', 'varchar(20)', `'a "quoted" \\ text'`, `E'line\\nbreak\\t'`],
  ['c_text', 'text', `'ünïcödé 🦊'`, `''`],
  ['c_citext', 'citext', `'MiXed'`, `'x'`],
  ['c_name', 'name', `'a_name'`, `'b'`],
  ['c_bytea', 'bytea', `'\\x00ff5c27'`, `''`],
  ['c_bit1', 'bit(1)', `B'1'`, `B'0'`],
  ['c_bit', 'bit(13)', `B'1010111001101'`, `B'0000000000001'`],
  ['c_varbit', 'varbit(9)', `B'101'`, `B'000000001'`],
  ['c_date', 'date', `'2024-02-29'`, `'0044-03-15 BC'`, `'infinity'`, `'-infinity'`],
  ['c_time', 'time', `'13:51:30.123456'`, `'24:00:00'`],
  ['c_time0', 'time(0)', `'13:51:30'`, `'00:00:00'`],
  ['c_time3', 'time(3)', `'13:51:30.123'`, `'00:00:00.5'`],
  ['c_timetz', 'timetz', `'13:51:30.123789+02'`, `'00:30:00+05:30'`],
  ['c_ts', 'timestamp', `'2024-05-06 07:08:09.123456'`, `'infinity'`, `'-infinity'`],
  ['c_ts0', 'timestamp(0)', `'2024-05-06 07:08:09'`, `'0044-03-15 10:00:00 BC'`],
  ['c_ts3', 'timestamp(3)', `'2024-05-06 07:08:09.120'`, `'1969-12-31 23:59:59.999'`, `'infinity'`],
  [
    'c_tstz',
    'timestamptz',
    `'2024-05-06 07:08:09.123456+02'`,
    `'2024-05-06 00:00:00+00'`,
    `'infinity'`,
  ],
  ['c_tstz0', 'timestamptz(0)', `'2024-05-06 07:08:09+02'`, `'0044-03-15 10:00:00+00 BC'`],
  ['c_tstz3', 'timestamptz(3)', `'2024-05-06 07:08:09.5+00'`, `'2024-05-06 07:08:09+00'`],
  ['c_interval', 'interval', `'1 year 2 mons 3 days 04:05:06.789'`, `'-1 day -00:00:01.5'`],
  [
    'c_uuid',
    'uuid',
    `'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'`,
    `'00000000-0000-0000-0000-000000000000'`,
  ],
  ['c_json', 'json', `'{"b": 1,  "a": [null, "\\u00e9"]}'`, `'"x"'`],
  ['c_jsonb', 'jsonb', `'{"b": 1.10, "a": {"c": "\\""}}'`, `'[]'`],
  ['c_xml', 'xml', `'<a b="c">d</a>'`, `'<e/>'`],
  ['c_mood', 'mood', `'sad'`, `'very happy'`],
  ['c_int4range', 'int4range', `'[1,5)'`, `'empty'`],
  ['c_int8range', 'int8range', `'(,5)'`, `'[2,3)'`],
  ['c_numrange', 'numrange', `'[1.5,2.5]'`, `'empty'`],
  ['c_tsrange', 'tsrange', `'[2020-01-01, 2020-01-02)'`, `'empty'`],
  ['c_tstzrange', 'tstzrange', `'[2020-01-01 00:00+00,)'`, `'empty'`],
  ['c_daterange', 'daterange', `'[2020-01-01,2020-01-05)'`, `'empty'`],
  ['c_inet', 'inet', `'10.1.2.3/8'`, `'::1'`],
  ['c_cidr', 'cidr', `'10.0.0.0/8'`, `'::/0'`],
  ['c_macaddr', 'macaddr', `'08:00:2b:01:02:03'`, `'00:00:00:00:00:00'`],
  ['c_macaddr8', 'macaddr8', `'08:00:2b:01:02:03:04:05'`, `'00:00:00:00:00:00:00:00'`],
  ['c_hstore', 'hstore', `'a=>1, "b c"=>"d\\"e", n=>NULL'`, `''`],
  ['c_tsvector', 'tsvector', `'''it''''s'':1A fat:2'`, `''`],
  ['c_ltree', 'ltree', `'Top.Science'`, `'a'`],
  ['c_positive', 'positive', '5', '7'],
  ['c_price', 'price', '12.50', '0.99'],
  ['c_ints', 'integer[]', `'{1,NULL,3}'`, `'{}'`],
  ['c_bigints', 'bigint[]', `'{9223372036854775807,-1}'`, `'{}'`],
  ['c_smallints', 'smallint[]', `'{1,2}'`, `'{}'`],
  ['c_texts', 'text[]', `ARRAY['a,"b"', E'c\\\\d{}', NULL, 'NULL', '']`, `'{}'`],
  ['c_varchars', 'varchar(5)[]', `'{a,b}'`, `'{}'`],
  ['c_bools', 'boolean[]', `'{t,f,NULL}'`, `'{}'`],
  ['c_floats', 'double precision[]', `'{1.5,-2}'`, `'{}'`],
  ['c_numerics', 'numeric(10,2)[]', `'{1.50,-2.25}'`, `'{}'`],
  ['c_uuids', 'uuid[]', `'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'`, `'{}'`],
  ['c_dates', 'date[]', `'{2024-02-29,NULL}'`, `'{}'`],
  ['c_stamps', 'timestamp[]', `'{"2024-05-06 07:08:09.123456"}'`, `'{}'`],
  ['c_zoned', 'timestamptz[]', `'{"2024-05-06 07:08:09.5+00"}'`, `'{}'`],
  ['c_times', 'time[]', `'{13:51:30.5}'`, `'{}'`],
  ['c_jsonbs', 'jsonb[]', `ARRAY['{"a": 1}'::jsonb]`, `'{}'`],
  ['c_moods', 'mood[]', `'{sad,"very happy"}'`, `'{}'`],
  ['c_byteas', 'bytea[]', `ARRAY['\\x00ff'::bytea]`, `'{}'`],
  ['c_inets', 'inet[]', `'{10.0.0.1}'`, `'{}'`],
];

export const GOLDEN_COLUMNS: readonly string[] = TYPES.map(([name]) => name);

const columns = (constraint: string): string =>
  TYPES.map(([name, type]) => `${name} ${type} ${constraint}`).join(', ');

export const GOLDEN_TABLES = `
CREATE EXTENSION citext; CREATE EXTENSION hstore; CREATE EXTENSION ltree;
CREATE TYPE mood AS ENUM ('sad', 'very happy');
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE DOMAIN price AS numeric(8,2);
CREATE SCHEMA shop;
CREATE TABLE shop.kinds (id bigint PRIMARY KEY, ${columns('')});
CREATE TABLE shop.kinds_full (id bigint PRIMARY KEY, ${columns('')});
ALTER TABLE shop.kinds_full REPLICA IDENTITY FULL;
CREATE TABLE shop.strict (id bigint PRIMARY KEY, ${columns('NOT NULL')});
CREATE TABLE shop.defaults (
  a integer, b text, PRIMARY KEY (b, a), c_int integer DEFAULT 5, c_neg smallint DEFAULT -3,
  c_big bigint NOT NULL DEFAULT 9223372036854775807, c_text text DEFAULT 'it''s', c_bool boolean NOT NULL DEFAULT true,
  c_num numeric(8,2) NOT NULL DEFAULT 1.5, c_bare numeric DEFAULT 2, c_double double precision DEFAULT 0.5, c_real real DEFAULT 1,
  c_char char(3) DEFAULT 'ab', c_varchar varchar(9) NOT NULL DEFAULT 'x', c_json jsonb DEFAULT '{}', c_bit bit(3) DEFAULT B'101',
  c_date date DEFAULT '2020-01-01', c_ts timestamp DEFAULT now(), c_tstz timestamptz NOT NULL DEFAULT now(), c_uuid uuid DEFAULT gen_random_uuid(),
  c_mood mood DEFAULT 'sad', c_ids integer[] DEFAULT '{}', c_serial serial, c_citext citext NOT NULL DEFAULT 'Ci', c_time time NOT NULL DEFAULT '10:00:00.5', c_interval interval NOT NULL DEFAULT '1 day', c_timetz timetz NOT NULL DEFAULT '10:00+00', c_money money NOT NULL DEFAULT 5, c_oid oid NOT NULL DEFAULT 7, c_bytea bytea NOT NULL DEFAULT '\\x01', c_price price NOT NULL DEFAULT 2.5, c_kind mood NOT NULL DEFAULT 'sad', c_sum integer NOT NULL DEFAULT 1 + 1, c_minus integer NOT NULL DEFAULT '-3'::integer, c_concat text NOT NULL DEFAULT 'a' || 'b', c_lower text NOT NULL DEFAULT lower('A'), c_past timestamptz NOT NULL DEFAULT now() - '1 day'::interval, c_fixed timestamptz NOT NULL DEFAULT '2020-01-01 10:00:00+02', c_fixed0 timestamp(0) NOT NULL DEFAULT '2020-01-01 10:00:00', c_inet inet NOT NULL DEFAULT '::1', c_b1 bit(1) NOT NULL DEFAULT B'1', c_vb varbit(5) NOT NULL DEFAULT B'101', c_f8 double precision NOT NULL DEFAULT 1e20, c_nan double precision NOT NULL DEFAULT 'NaN', c_xml xml NOT NULL DEFAULT '<a/>', c_hs hstore NOT NULL DEFAULT '', c_nn numeric(10,4) NOT NULL DEFAULT '-7.25', c_upper text GENERATED ALWAYS AS (upper(b)) STORED);
CREATE TABLE shop.toasted (id integer PRIMARY KEY, n integer, t text, b bytea, j jsonb, ts text[], i integer[], g bigint[], h hstore, v varchar, us uuid[]);
CREATE TABLE shop.toasted_full (LIKE shop.toasted INCLUDING ALL);
ALTER TABLE shop.toasted_full REPLICA IDENTITY FULL;
CREATE TABLE shop.unkeyed (a integer, b text);
ALTER TABLE shop.unkeyed REPLICA IDENTITY FULL;
CREATE TABLE shop.by_index (a integer NOT NULL, b text NOT NULL, c text, UNIQUE (b, a));
ALTER TABLE shop.by_index REPLICA IDENTITY USING INDEX by_index_b_a_key;
CREATE TABLE shop."odd Name" ("Id" integer PRIMARY KEY, "a.b" text);
${['toasted', 'toasted_full']
  .flatMap((table) =>
    ['t', 'b', 'j', 'ts', 'i', 'g', 'h', 'v', 'us'].map(
      (column) => `ALTER TABLE shop.${table} ALTER ${column} SET STORAGE EXTERNAL;`,
    ),
  )
  .join('\n')}
CREATE PUBLICATION golden FOR TABLES IN SCHEMA shop;`;

const rounds = Math.max(...TYPES.map((one) => one.length - 2));
const names = TYPES.map(([name]) => name).join(', ');
const row = (round: number): string =>
  TYPES.map(([, , ...values]) => values[round % values.length] ?? 'NULL').join(', ');
const BIG = `(SELECT string_agg(md5(x::text), '') FROM generate_series(1, 200) x)`;
const toasted = (table: string): string => `
INSERT INTO shop.${table} VALUES (1, 1, ${BIG}, ${BIG}::bytea, to_jsonb(${BIG}), ARRAY[${BIG}], (SELECT array_agg(x) FROM generate_series(1, 2000) x), (SELECT array_agg(x) FROM generate_series(1, 2000) x), hstore('k', ${BIG}), ${BIG}, (SELECT array_agg(md5(x::text)::uuid) FROM generate_series(1, 300) x));
UPDATE shop.${table} SET n = 2 WHERE id = 1;
UPDATE shop.${table} SET id = 2 WHERE id = 1;
DELETE FROM shop.${table} WHERE id = 2;`;

/** Each element is run as one transaction. */
export const GOLDEN_SCRIPT: readonly string[] = [
  ...['kinds', 'kinds_full', 'strict'].flatMap((table) =>
    Array.from(
      { length: rounds },
      (_, round) => `INSERT INTO shop.${table} (id, ${names}) VALUES (${round}, ${row(round)})`,
    ),
  ),
  `INSERT INTO shop.kinds (id) VALUES (100); INSERT INTO shop.kinds_full (id) VALUES (100)`,
  `UPDATE shop.kinds SET c_text = 'changed' WHERE id = 0; UPDATE shop.kinds_full SET c_text = 'changed' WHERE id = 0;
   UPDATE shop.strict SET c_text = 'changed' WHERE id = 0; UPDATE shop.kinds SET c_int4 = NULL, c_text = NULL WHERE id = 1`,
  `UPDATE shop.kinds SET id = 50 WHERE id = 0; UPDATE shop.kinds_full SET id = 50 WHERE id = 0; UPDATE shop.strict SET id = 50 WHERE id = 0`,
  `DELETE FROM shop.kinds WHERE id = 50; DELETE FROM shop.kinds_full WHERE id = 50; DELETE FROM shop.strict WHERE id = 50`,
  `INSERT INTO shop.defaults (a, b) VALUES (1, 'x'); INSERT INTO shop.defaults VALUES (2, 'y', 6, 1, 2, 'z', false, 3, 4, 5, 6, 'c', 'v', '1', B'111', NULL, NULL, '2020-01-01Z', NULL, NULL, NULL)`,
  `UPDATE shop.defaults SET a = 3 WHERE a = 2; DELETE FROM shop.defaults WHERE a = 1`,
  toasted('toasted'),
  toasted('toasted_full'),
  `INSERT INTO shop.unkeyed VALUES (1, 'a'), (1, 'a'); UPDATE shop.unkeyed SET b = 'b'; DELETE FROM shop.unkeyed WHERE b = 'b'`,
  `INSERT INTO shop.by_index VALUES (1, 'x', 'c'); UPDATE shop.by_index SET c = 'd'; UPDATE shop.by_index SET b = 'y'; DELETE FROM shop.by_index`,
  `INSERT INTO shop."odd Name" VALUES (1, 'x'); UPDATE shop."odd Name" SET "a.b" = 'y'`,
  `SELECT pg_logical_emit_message(true, 'theirs', 'text é'); INSERT INTO shop.unkeyed VALUES (9, 'after a message')`,
  `INSERT INTO shop.unkeyed VALUES (10, 'x'); TRUNCATE shop.unkeyed, shop.by_index; INSERT INTO shop.unkeyed VALUES (11, 'the end')`,
];

/** The value of the row that closes the script. */
export const GOLDEN_END = 'the end';
