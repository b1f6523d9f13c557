// What the records of one table have in common: its topic, how its rows are written, the schemas and the
// part of `source` that names it. Made once for every shape that the log describes.
import { BanyanError } from '../../../core/errors.ts';
import type { Relation } from '../change.ts';
import { envelopeSchema, keySchema } from './frames.ts';
import { quote } from './json-text.ts';
import type { Modes, SourceTables } from './source.ts';
import { fits, TableWriter } from './table-writer.ts';
import { topicName } from './topics.ts';

export interface TableFrame {
  readonly writer: TableWriter;
  readonly keySchema: string;
  readonly valueSchema: string;
  /** The part of `source` that names the table. */
  readonly source: string;
  /** Its rows are left out. */
  readonly isUnread: boolean;
}

export interface FrameOptions {
  readonly prefix: string;
  readonly schemas?: boolean;
  readonly tables: SourceTables;
  /** Tables, as `schema.table`, whose rows are events: what cannot be written of them stops nobody. */
  readonly outboxes?: ReadonlySet<string>;
  /** Tables whose rows are left out. */
  readonly unread?: ReadonlySet<string>;
}

export class TableFrames {
  readonly #options: FrameOptions;
  readonly #modes: Modes;
  readonly #frames = new WeakMap<Relation, TableFrame>();

  constructor(options: FrameOptions, modes: Modes) {
    this.#options = options;
    this.#modes = modes;
  }

  /** Throws FLOW_STOPPED for a relation that is not known. */
  of(relation: Relation): TableFrame {
    const known = this.#frames.get(relation);
    if (known) return known;
    const made = this.#make(relation);
    this.#frames.set(relation, made);
    return made;
  }

  #make(relation: Relation): TableFrame {
    const { prefix, schemas = false, tables, outboxes, unread } = this.#options;
    const { schema, table } = relation;
    const source = tables(relation);
    if (!fits(relation, source))
      throw new BanyanError(
        'FLOW_STOPPED',
        `table ${schema}.${table} has columns that were not known`,
        { hint: 'Its columns changed while its changes were read; start the relay again.' },
      );
    const topic = topicName(`${prefix}.${schema}.${table}`);
    const writer = new TableWriter(topic, relation, source, {
      ...this.#modes,
      isOutbox: outboxes?.has(`${schema}.${table}`) === true,
    });
    return {
      writer,
      keySchema: schemas ? keySchema(topic, writer.keyFields) : '',
      valueSchema: schemas ? envelopeSchema(topic, writer.valueFields) : '',
      source: `${quote(schema)},"table":${quote(table)}`,
      isUnread: unread?.has(`${schema}.${table}`) === true,
    };
  }
}
