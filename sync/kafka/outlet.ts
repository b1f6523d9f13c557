// A relay's way out: records in the order of the source, to one producer, one request after another.
// Whatever is given while one is under way goes with the next; what waits is bounded, and whoever gives
// more waits. After a failure nothing more goes out: what was written is a gapless run.
import type { KafkaRecord, Producer } from '../../core/kafka/client.ts';
import type { Lsn } from '../../core/postgres/lsn.ts';

/** Records of one piece of the log. */
export interface Parcel {
  readonly records: readonly KafkaRecord[];
  /** Set on the last of a transaction: what has been written once these are. */
  readonly through: Written | undefined;
  /** Set where its records say that all is written up to here. */
  readonly idle?: Lsn | undefined;
}

export interface Written {
  readonly commitLsn: Lsn;
  readonly endLsn: Lsn;
  readonly seq: number;
  readonly commitMs: number;
}

/** What the brokers have acknowledged. */
export interface Sent {
  /** By their ends, the oldest first. */
  readonly transactions: readonly Written[];
  readonly records: number;
  /** About what they take. */
  readonly bytes: number;
  readonly idle: Lsn | undefined;
}

export interface OutletOptions {
  readonly producer: Producer;
  /** The brokers have everything up to there. */
  readonly onWritten: (sent: Sent) => void;
  /** Bytes that may be on their way before whoever gives more has to wait. */
  readonly limitBytes?: number;
}

const LIMIT_BYTES = 16_777_216;
/** What is handed to the producer at once, so that positions move on while a lot waits. */
const REQUEST_BYTES = 2_097_152;

export class Outlet {
  readonly #options: OutletOptions;
  readonly #limit: number;
  #waiting: { readonly parcel: Parcel; readonly bytes: number }[] = [];
  #bytes = 0;
  #over = false;
  #moved = Promise.withResolvers<undefined>();

  constructor(options: OutletOptions) {
    this.#options = options;
    this.#limit = options.limitBytes ?? LIMIT_BYTES;
  }

  /** Nothing is on its way. */
  get empty(): boolean {
    return this.#bytes === 0 && this.#waiting.length === 0;
  }

  /** Takes a parcel as soon as there is room; once the outlet is over, nothing comes of it. */
  async give(parcel: Parcel): Promise<void> {
    while (this.#bytes >= this.#limit && !this.#over) await this.#moved.promise;
    if (this.#over) return;
    const bytes = sizeOf(parcel);
    this.#waiting.push({ parcel, bytes });
    this.#bytes += bytes;
    this.#move();
  }

  /** Writes until the signal aborts; what is under way then is waited for. Rejects at the first failure. */
  async run(signal: AbortSignal): Promise<void> {
    const wake = (): void => {
      this.#move();
    };
    signal.addEventListener('abort', wake);
    try {
      while (!signal.aborted) {
        if (this.#waiting.length > 0) await this.#write();
        else await this.#moved.promise;
      }
    } finally {
      signal.removeEventListener('abort', wake);
      this.#over = true;
      this.#move();
    }
  }

  async #write(): Promise<void> {
    const { records, written, idle, bytes } = this.#next();
    if (records.length > 0) await this.#options.producer.send(records);
    this.#bytes -= bytes;
    this.#options.onWritten({ transactions: written, records: records.length, bytes, idle });
    this.#move();
  }

  #next(): { records: KafkaRecord[]; written: Written[]; idle: Lsn | undefined; bytes: number } {
    const records: KafkaRecord[] = [];
    const written: Written[] = [];
    let idle: Lsn | undefined;
    let total = 0;
    let count = 0;
    for (const { parcel, bytes } of this.#waiting) {
      if (count > 0 && total + bytes > REQUEST_BYTES) break;
      for (const record of parcel.records) records.push(record);
      if (parcel.through) written.push(parcel.through);
      idle = parcel.idle ?? idle;
      total += bytes;
      count += 1;
    }
    this.#waiting = this.#waiting.slice(count);
    return { records, written, idle, bytes: total };
  }

  #move(): void {
    this.#moved.resolve(undefined);
    this.#moved = Promise.withResolvers<undefined>();
  }
}

/** About what the records take in memory: most of it is text of one byte a character. */
function sizeOf({ records }: Parcel): number {
  let bytes = 0;
  for (const { key, value } of records) bytes += (key?.length ?? 0) + (value?.length ?? 0) + 200;
  return bytes;
}
