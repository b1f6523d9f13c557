// The parts of a record around the row: schemas of the envelope, of keys and of the metadata, made
// once (Debezium's SchemaFactory, PostgresSchemaFactory and SourceInfo).
import { printSchema, type ConnectField, type ConnectSchema } from './connect-schema.ts';

const text = (field: string, optional = false): ConnectField => ({
  type: 'string',
  optional,
  field,
});
const long = (field: string, optional = true): ConnectField => ({ type: 'int64', optional, field });

const struct = (
  name: string,
  version: number | undefined,
  fields: readonly ConnectField[],
  optional = false,
): ConnectSchema => ({
  type: 'struct',
  fields,
  optional,
  name,
  ...(version === undefined ? {} : { version }),
});

const SNAPSHOT: ConnectField = {
  type: 'string',
  optional: true,
  name: 'io.debezium.data.Enum',
  version: 1,
  parameters: {
    allowed: 'true,first,first_in_data_collection,last_in_data_collection,last,false,incremental',
  },
  default: '"false"',
  field: 'snapshot',
};

const SOURCE: ConnectField = {
  ...struct('io.debezium.connector.postgresql.Source', 1, [
    text('version'),
    text('connector'),
    text('name'),
    long('ts_ms', false),
    SNAPSHOT,
    text('db'),
    text('sequence', true),
    long('ts_us'),
    long('ts_ns'),
    text('schema'),
    text('table'),
    long('txId'),
    long('lsn'),
    long('xmin'),
    text('origin', true),
    long('origin_lsn'),
  ]),
  field: 'source',
};

const TRANSACTION: ConnectField = {
  ...struct(
    'event.block',
    1,
    [text('id'), long('total_order', false), long('data_collection_order', false)],
    true,
  ),
  field: 'transaction',
};

const STAMPS = [long('ts_ms'), long('ts_us'), long('ts_ns')];

export function envelopeSchema(topic: string, fields: readonly ConnectField[]): string {
  const row = struct(`${topic}.Value`, undefined, fields, true);
  return printSchema(
    struct(`${topic}.Envelope`, 2, [
      { ...row, field: 'before' },
      { ...row, field: 'after' },
      SOURCE,
      TRANSACTION,
      text('op'),
      ...STAMPS,
    ]),
  );
}

export function keySchema(topic: string, fields: readonly ConnectField[]): string {
  return printSchema(struct(`${topic}.Key`, undefined, fields));
}

const COMMON = 'io.debezium.connector.common';
const CONNECTOR = 'io.debezium.connector.postgresql';

export const TRANSACTION_KEY = printSchema(
  struct(`${COMMON}.TransactionMetadataKey`, 1, [text('id')]),
);

export const TRANSACTION_VALUE = printSchema(
  struct(`${COMMON}.TransactionMetadataValue`, 1, [
    text('status'),
    text('id'),
    long('event_count'),
    {
      type: 'array',
      items: struct(
        'event.collection',
        1,
        [text('data_collection'), long('event_count', false)],
        true,
      ),
      optional: true,
      field: 'data_collections',
    },
    long('ts_ms', false),
  ]),
);

export const MESSAGE_KEY = printSchema(
  struct(`${CONNECTOR}.MessageKey`, 1, [text('prefix', true)]),
);

/** Its content is base64 in either case, or hexadecimal: `binary.handling.mode`. */
export function messageSchema(content: 'bytes' | 'string'): string {
  return printSchema(
    struct(`${CONNECTOR}.MessageValue`, 1, [
      text('op'),
      long('ts_ms'),
      SOURCE,
      TRANSACTION,
      {
        ...struct(`${CONNECTOR}.Message`, 1, [
          text('prefix', true),
          { type: content, optional: true, field: 'content' },
        ]),
        field: 'message',
      },
    ]),
  );
}

export const HEARTBEAT_KEY = printSchema(
  struct(`${COMMON}.ServerNameKey`, 1, [text('serverName')]),
);
export const HEARTBEAT_VALUE = printSchema(
  struct(`${COMMON}.Heartbeat`, 1, [long('ts_ms', false)]),
);
