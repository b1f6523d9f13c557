// What a team says of a Debezium PostgreSQL connector that it runs already, so that a capability takes the
// monolith's changes from its topics: no slot of ours, no relay. The words are the connector's own.
import { z } from 'zod';
import { text } from './schema-words.ts';

const topic = text.regex(
  /^[A-Za-z0-9._-]{1,249}$/,
  'is no name of a topic: letters, digits, ., - and _',
);

/** How the connector writes values; a record that carries its schema says so itself, and wins. */
const modes = z
  .strictObject({
    /** `decimal.handling.mode` */
    decimals: z.enum(['precise', 'string', 'double']).default('precise'),
    /** `time.precision.mode` */
    temporals: z
      .enum([
        'adaptive',
        'adaptive_time_microseconds',
        'microseconds',
        'nanoseconds',
        'isostring',
        'connect',
      ])
      .default('adaptive'),
    /** `interval.handling.mode` */
    intervals: z.enum(['numeric', 'string']).default('numeric'),
    /** `binary.handling.mode` */
    binary: z.enum(['bytes', 'base64', 'base64-url-safe', 'hex']).default('bytes'),
    /** `hstore.handling.mode` */
    hstore: z.enum(['json', 'map']).default('json'),
  })
  .prefault({});

const debezium = z.strictObject({
  /** `topic.prefix`: a table's topic is `<prefix>.<schema>.<table>`. */
  prefix: topic,
  /** Of tables whose topic is called otherwise: a transformation routes them there. */
  topics: z.record(text, topic).default({}),
  /** `slot.name`: how far the connector is, is asked there. */
  slot: text.default('debezium'),
  /** `publication.name` */
  publication: text.default('dbz_publication'),
  modes,
});

/** Under `source` of a capability. */
export const source = z.strictObject({ debezium }).optional();

export type DebeziumSettings = z.output<typeof debezium>;
