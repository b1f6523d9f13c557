// The `source` of records: what is the same for a whole transaction is put together once.
import type { Lsn } from '../../../core/postgres/lsn.ts';
import type { TransactionHead } from '../change.ts';
import { quote } from './json-text.ts';

export class SourceText {
  readonly #start: string;
  readonly #database: string;
  #xid = 0;
  /** Up to the sequence, from there to the table, and what comes after the LSN. */
  #first = '';
  #second = '';
  #last = '';

  constructor(options: {
    readonly version: string;
    readonly prefix: string;
    readonly database: string;
  }) {
    const { version, prefix, database } = options;
    this.#database = quote(database);
    this.#start = `"source":{"version":${quote(version)},"connector":"postgresql","name":${quote(prefix)},"ts_ms":`;
  }

  /** Of the transaction that begins; `lastCommit` is where the one before it ended. */
  open(head: TransactionHead, lastCommit: Lsn | undefined): void {
    const commitUs = head.commitUs ?? head.commitMs * 1_000;
    const before = lastCommit === undefined ? 'null' : `\\"${lastCommit}\\"`;
    const origin = head.origin === undefined ? 'null' : quote(head.origin);
    this.#xid = head.xid;
    this.#first = `${this.#start}${Math.floor(commitUs / 1_000)},"snapshot":"false","db":${this.#database},"sequence":"[${before},\\"`;
    this.#second = `\\"]","ts_us":${commitUs},"ts_ns":${commitUs}000,"schema":`;
    this.#last = `,"xmin":null,"origin":${origin},"origin_lsn":null}`;
  }

  /** `table` is the JSON of the schema's name and all up to the table's. */
  of(table: string, lsn: Lsn): string {
    return `${this.#first}${lsn}${this.#second}${table},"txId":${this.#xid},"lsn":${lsn}${this.#last}`;
  }
}
