// Debezium's transaction metadata: the BEGIN and END of each transaction with its counts, and the
// block by which every event says which it is of.
import type { TransactionHead } from '../change.ts';
import { TRANSACTION_KEY, TRANSACTION_VALUE } from './frames.ts';
import { quote } from './json-text.ts';

/** The connector counts logical messages under this name. */
export const MESSAGES = 'LOGICAL_DECODING_MESSAGE';

interface MetadataRecord {
  readonly topic: string;
  readonly key: string;
  readonly value: string;
}

export class TransactionCounter {
  readonly #topic: string;
  readonly #schemas: boolean;
  readonly #counts = new Map<string, number>();
  #total = 0;
  #commitMs = 0;
  #id = '';

  constructor(options: { readonly topic: string; readonly schemas: boolean }) {
    this.#topic = options.topic;
    this.#schemas = options.schemas;
  }

  get begun(): boolean {
    return this.#id !== '';
  }

  get id(): string {
    return this.#id;
  }

  reset(head: TransactionHead): void {
    this.#counts.clear();
    this.#total = 0;
    this.#id = '';
    this.#commitMs = head.commitMs;
  }

  begin(id: string): MetadataRecord {
    this.#id = id;
    return this.#record('BEGIN', id, 'null', 'null');
  }

  /** Counts an event; the JSON of its `transaction` member. */
  event(collection: string, id: string): string {
    const order = (this.#counts.get(collection) ?? 0) + 1;
    this.#counts.set(collection, order);
    this.#total += 1;
    return `"transaction":{"id":"${id}","total_order":${this.#total},"data_collection_order":${order}}`;
  }

  end(id: string): MetadataRecord {
    let counts = '';
    for (const [name, count] of this.#counts)
      counts += `${counts && ','}{"data_collection":${quote(name)},"event_count":${count}}`;
    return this.#record('END', id, String(this.#total), `[${counts}]`);
  }

  #record(status: string, id: string, count: string, collections: string): MetadataRecord {
    const key = `{"id":"${id}"}`;
    const value = `{"status":"${status}","id":"${id}","event_count":${count},"data_collections":${collections},"ts_ms":${this.#commitMs}}`;
    if (!this.#schemas) return { topic: this.#topic, key, value };
    return {
      topic: this.#topic,
      key: `{"schema":${TRANSACTION_KEY},"payload":${key}}`,
      value: `{"schema":${TRANSACTION_VALUE},"payload":${value}}`,
    };
  }
}
