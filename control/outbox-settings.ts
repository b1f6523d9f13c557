// Outbox tables: rows that an application inserts in the transaction of the change that they tell of,
// and that a relay brings to Kafka as events. The names are those of Debezium's outbox event router, and
// so are the defaults.
import { z } from 'zod';
import { formatTable, parseTableName } from '../core/postgres/identifiers.ts';
import { text } from './schema-words.ts';

const outbox = z.strictObject({
  /** `table` or `schema.table`. */
  table: text.transform((name) => formatTable(parseTableName(name))),
  columns: z
    .strictObject({
      /** Becomes header `id`. */
      id: text.default('id'),
      key: text.default('aggregateid'),
      payload: text.default('payload'),
      /** Its value chooses the topic. */
      routeBy: text.default('aggregatetype'),
    })
    .prefault({}),
  topic: text.default('outbox.event.${routedByValue}'),
  /** Further columns: as a header, beside the payload in an envelope, or as the number of the partition. */
  additional: z
    .array(
      z
        .strictObject({
          column: text,
          placement: z.enum(['header', 'envelope', 'partition']),
          alias: text.optional(),
        })
        .transform((given) => ({ ...given, alias: given.alias ?? given.column })),
    )
    .default([]),
  /** A JSON payload as JSON, not as a text that holds it. */
  expandJson: z.boolean().default(false),
  tombstoneOnEmpty: z.boolean().default(false),
  /** Rows are only ever inserted: an update is told of in the log, or stops the relay. */
  onUpdate: z.enum(['warn', 'refuse']).default('warn'),
});

/** By source: `monolith`, or the service whose database it is. */
export const outboxes = z.record(text, z.array(outbox)).default({});
