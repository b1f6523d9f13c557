// A relay's way out: records in the order of the source, to one producer, one request after another.
// Whatever is given while one is under way goes with the next, and where much comes, what comes in a
// moment: each request costs brokers, and whoever reads, more than its bytes do. What waits is bounded, and
// whoever gives more waits. After a failure nothing more goes out: what was written is a gapless run.
import type { KafkaRecord, Producer } from '../../core/kafka/client.ts';
import { RecordPack } from '../../core/kafka/record-pack.ts';
import type { Lsn } from '../../core/postgres/lsn.ts';
import { Inflow, REAL, type Pace } from './inflow.ts';

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
  readonly pace?: Pace;
}

const LIMIT_BYTES = 2_097_152;
/** What is packed together, so that positions move on while a lot waits. */
const PACK_BYTES = 1_048_576;
/** Between the beginnings of two requests, where much comes. */
const REST_MS = 10;
/** What waits for no more. */
const ENOUGH_BYTES = PACK_BYTES / 4;
/** What is noted of a transaction. */
const WRITTEN_BYTES = 150;

/** Parcels that go together. */
interface Load {
  readonly pack: RecordPack;
  readonly written: Written[];
  idle: Lsn | undefined;
  bytes: number;
}

export class Outlet {
  readonly #options: OutletOptions;
  readonly #limit: number;
  readonly #pace: Pace;
  readonly #inflow: Inflow;
  #begunAt = 0;
  #waiting: Load[] = [];
  /** Those that have been written: memory for the next. */
  readonly #free: RecordPack[] = [];
  #bytes = 0;
  #over = false;
  #moved: PromiseWithResolvers<undefined> | undefined;

  constructor(options: OutletOptions) {
    this.#options = options;
    this.#limit = options.limitBytes ?? LIMIT_BYTES;
    this.#pace = options.pace ?? REAL;
    this.#inflow = new Inflow(this.#pace.now);
  }

  /** Nothing is on its way. */
  get empty(): boolean {
    return this.#bytes === 0 && this.#waiting.length === 0;
  }

  /**
   * Takes a parcel as soon as there is room, a large one bit by bit: no other may be given meanwhile that
   * speaks of what has been written. Once the outlet is over, nothing comes of it.
   */
  async give({ records, through, idle }: Parcel): Promise<void> {
    if (!(await this.#room())) return;
    // From one wait to the next: what has been opened may be gone after one.
    let load = this.#open();
    for (const record of records) {
      if (load.bytes >= PACK_BYTES) {
        this.#move();
        if (!(await this.#room())) return;
        load = this.#open();
      }
      const before = load.pack.bytes;
      load.pack.append(record);
      this.#count(load, load.pack.bytes - before);
    }
    if (through) {
      load.written.push(through);
      this.#count(load, WRITTEN_BYTES);
    }
    load.idle = idle ?? load.idle;
    this.#move();
  }

  #count(load: Load, bytes: number): void {
    load.bytes += bytes;
    this.#bytes += bytes;
  }

  /** Waits for room; false when the outlet is over. */
  async #room(): Promise<boolean> {
    while (this.#bytes >= this.#limit && !this.#over) await this.#moves();
    return !this.#over;
  }

  /** The last that waits, while there is room in it. */
  #open(): Load {
    const last = this.#waiting.at(-1);
    if (last && last.bytes < PACK_BYTES) return last;
    const pack = this.#free.pop() ?? new RecordPack();
    const load: Load = { pack, written: [], idle: undefined, bytes: 0 };
    this.#waiting.push(load);
    return load;
  }

  /** Resolves once all that was given is with the brokers, or nothing more will be. */
  async emptied(): Promise<void> {
    while (!this.empty && !this.#over) await this.#moves();
  }

  /** Writes until the signal aborts; what is under way then is waited for. Rejects at the first failure. */
  async run(signal: AbortSignal): Promise<void> {
    const wake = (): void => {
      this.#move();
    };
    signal.addEventListener('abort', wake);
    try {
      while (!signal.aborted) {
        if (this.#waiting.length === 0) await this.#moves();
        else if (this.#rest > 0) await this.#pace.rest(this.#rest, signal);
        else await this.#write();
      }
    } finally {
      signal.removeEventListener('abort', wake);
      this.#over = true;
      this.#move();
    }
  }

  /** How long the next request should still wait for more. */
  get #rest(): number {
    const [first, second] = this.#waiting;
    if (!this.#inflow.isFast || second || (first?.bytes ?? 0) >= ENOUGH_BYTES) return 0;
    return this.#begunAt + REST_MS - this.#pace.now();
  }

  async #write(): Promise<void> {
    this.#begunAt = this.#pace.now();
    const load = this.#waiting.shift();
    if (!load) return;
    const { pack, written, idle, bytes } = load;
    const { count } = pack;
    if (count > 0) await this.#options.producer.sendPacked([pack]);
    this.#bytes -= bytes;
    this.#inflow.add(bytes);
    this.#options.onWritten({ transactions: written, records: count, bytes, idle });
    pack.clear();
    this.#free.push(pack);
    this.#move();
  }

  /** Resolves as soon as anything has moved. */
  #moves(): Promise<undefined> {
    this.#moved ??= Promise.withResolvers<undefined>();
    return this.#moved.promise;
  }

  #move(): void {
    this.#moved?.resolve(undefined);
    this.#moved = undefined;
  }
}
