// The `direct` change log: reads a replication slot with pgoutput. Acknowledges only what the
// consumer called durable, on a timer that runs even while the consumer is slow, and stops reading
// from the socket when too much waits. A stream that says nothing although it was asked is given up.
import type pg from 'pg';
import { BanyanError } from '../core/errors.ts';
import { connect } from '../core/postgres/connect.ts';
import { quoteIdentifier, quoteLiteral, type TableName } from '../core/postgres/identifiers.ts';
import { formatLsn, type Lsn, type Position } from '../core/postgres/lsn.ts';
import { abandon, disconnect, SILENCE_MS } from '../core/postgres/silence.ts';
import type { ChangeLog } from './change-log.ts';
import { Acker } from './domain/acker.ts';
import type { Piece, TransactionHead } from './domain/change.ts';
import { PgOutputDecoder } from './domain/pgoutput.ts';
import { PieceQueue } from './piece-queue.ts';
import { RawPieces } from './raw-pieces.ts';
import { assertSlot, assertWritten, readerOf, seizeSlot, startError, timelineFor } from './slot.ts';

export interface SlotLogOptions {
  readonly url: string;
  readonly slot: string;
  readonly publication: string;
  /** Memory that what waits for the consumer may take before the socket is paused. */
  readonly queueBytes?: number;
  /** Changes after which a transaction is handed over in parts; so it is after some bytes. */
  readonly pieceLimit?: number;
  /** Changes after which a read gives what it has: they are kept, undecoded, until the next read. */
  readonly readChanges?: number;
  /** Names of tables by their numbers: those are what a change is of, whatever the table is called then. */
  readonly tables?: ReadonlyMap<number, TableName>;
  /** Whether pieces tell where in the WAL each of their changes is. */
  readonly lsns?: boolean;
  /** Whether relations tell the types of their columns. */
  readonly typed?: boolean;
  /** Whether idle WAL is acknowledged only by whoever reads: see `SlotLog.idleLsn`. */
  readonly holdsIdle?: boolean;
  /** Whether nobody else may read it: whoever still does is ended. */
  readonly seizes?: boolean;
  /** How long the stream may say nothing, although it was asked, before it is given up. */
  readonly silenceMs?: number | undefined;
}

/** A change log that is a slot. */
export interface SlotChangeLog extends ChangeLog {
  /** Everything up to here is durable, or was nothing for us. */
  readonly idleLsn: Lsn;
}

/** The parts of pg's connection that the CopyBoth protocol needs; the driver has no public form of them. */
interface CopyBothConnection {
  readonly stream: { pause(): void; resume(): void; destroy(): void };
  on(event: 'copyData', listener: (message: { chunk: Buffer }) => void): void;
  once(event: 'replicationStart', listener: () => void): void;
  sendCopyFromChunk(chunk: Buffer): void;
}

/** A message of the stream ('w') has a header of 25 bytes, then one pgoutput message. */
const MESSAGE_AT = 25;
const MESSAGE_TAG = 0x4d;
/** Insert, update, delete, truncate, message. */
const CHANGE_TAGS = [0x49, 0x55, 0x44, 0x54, MESSAGE_TAG];
/** Flag of a logical message. */
const TRANSACTIONAL = 1;
const MB = 1_048_576;
const PIECE_BYTES = MB;
const READ_CHANGES = 20_000;
const STATUS_INTERVAL_MS = 1_000;
/** Microseconds between the Unix epoch and PostgreSQL's. */
const POSTGRES_EPOCH_US = 946_684_800_000_000n;

/** Throws SLOT_LOST when the slot is gone or invalidated, FLOW_STOPPED at a server that lost what was applied, DATABASE_UNREACHABLE. */
export async function openSlotLog(options: SlotLogOptions, from: Position): Promise<SlotChangeLog> {
  await (options.seizes ? seizeSlot : assertSlot)(options.url, options.slot);
  const client = await connect(options.url, {
    applicationName: readerOf(options.slot),
    replication: true,
  });
  try {
    const timeline = await timelineFor(client, options.slot, from);
    await assertWritten(client, options.slot, from);
    const log = new SlotLog(client, options, from, timeline);
    await log.start();
    return log;
  } catch (error) {
    await disconnect(client);
    throw error;
  }
}

class SlotLog implements SlotChangeLog {
  readonly timeline: number;
  readonly #client: pg.Client;
  readonly #connection: CopyBothConnection;
  readonly #options: SlotLogOptions;
  readonly #from: Position;
  readonly #acker: Acker;
  readonly #decoder: PgOutputDecoder;
  readonly #raw: RawPieces;
  readonly #queueBytes: number;
  readonly #pieceLimit: number;
  readonly #readChanges: number;
  readonly #queue = new PieceQueue();
  #paused = false;
  #failure: Error | undefined;
  #wake: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #head: TransactionHead | undefined;
  #seq = 0;
  #started = false;
  #closed = false;
  /** Status messages since the server last said something. */
  #unanswered = 0;
  readonly #silentAfter: number;

  constructor(client: pg.Client, options: SlotLogOptions, from: Position, timeline: number) {
    this.#client = client;
    this.#connection = (client as unknown as { connection: CopyBothConnection }).connection;
    this.#options = options;
    this.#decoder = new PgOutputDecoder(options.tables, options.typed);
    this.#raw = new RawPieces(this.#decoder, options.lsns === true);
    this.#from = from;
    this.timeline = timeline;
    this.#acker = new Acker(0n, options.holdsIdle);
    this.#queueBytes = options.queueBytes ?? 16 * MB;
    this.#pieceLimit = options.pieceLimit ?? 5_000;
    this.#readChanges = options.readChanges ?? READ_CHANGES;
    this.#silentAfter = Math.ceil((options.silenceMs ?? SILENCE_MS) / STATUS_INTERVAL_MS);
  }

  async start(): Promise<void> {
    const { slot, publication } = this.#options;
    const settings = `proto_version '1', publication_names ${quoteLiteral(quoteIdentifier(publication)).trim()}, messages 'true'`;
    const command = `START_REPLICATION SLOT ${quoteIdentifier(slot)} LOGICAL ${formatLsn(this.#from.commitLsn)} (${settings})`;
    this.#connection.on('copyData', ({ chunk }) => {
      try {
        this.#receive(chunk);
      } catch (error) {
        this.#fail(error as Error);
      }
    });
    this.#client.on('error', (error) => {
      this.#fail(error);
    });
    this.#client.on('end', () => {
      this.#fail(new Error('Connection terminated unexpectedly'));
    });
    this.#timer = setInterval(() => {
      this.#tick();
    }, STATUS_INTERVAL_MS);
    await new Promise<void>((resolve, reject) => {
      this.#connection.once('replicationStart', () => {
        this.#started = true;
        resolve();
      });
      this.#client.query(command).then(
        () => {
          this.#fail(new Error('Connection terminated: the server ended the stream'));
        },
        (error: unknown) => {
          this.#fail(error as Error);
          reject(startError(error as Error, slot));
        },
      );
    });
  }

  async read(signal: AbortSignal): Promise<readonly Piece[]> {
    while (this.#queue.empty) {
      if (this.#failure) throw this.#failure;
      if (signal.aborted) return [];
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          signal.removeEventListener('abort', wake);
          resolve();
        };
        this.#wake = wake;
        signal.addEventListener('abort', wake);
      });
      this.#wake = undefined;
    }
    // About as much as a batch takes.
    const pieces = this.#queue.take(this.#readChanges);
    if (this.#paused && this.#queue.cost <= this.#queueBytes / 2) {
      this.#paused = false;
      this.#connection.stream.resume();
    }
    return pieces;
  }

  acknowledge(endLsn: Lsn): void {
    this.#acker.durable(endLsn);
  }

  get idleLsn(): Lsn {
    return this.#acker.idleLsn;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#timer);
    if (this.#started) this.#sendStatus();
    // A walsender ends when its socket closes; one that nothing is heard of may not hear of it.
    if (this.#unanswered > 2) abandon(this.#client);
    await disconnect(this.#client);
  }

  /** Counted in messages, not in time: while we are busy we neither ask nor hear. */
  #tick(): void {
    this.#unanswered = this.#paused ? 0 : this.#unanswered + 1;
    if (this.#unanswered > this.#silentAfter) this.#giveUp();
    else if (this.#started) this.#sendStatus(this.#unanswered > this.#silentAfter / 4);
  }

  #giveUp(): void {
    const { slot } = this.#options;
    this.#fail(
      new BanyanError('DATABASE_UNREACHABLE', `the stream of slot ${slot} has gone silent`, {
        hint: 'The flow connects anew by itself; look for a network that drops connections without a word.',
      }),
    );
    abandon(this.#client);
  }

  #receive(chunk: Buffer): void {
    this.#unanswered = 0;
    if (chunk[0] === 0x77) this.#message(chunk);
    else if (chunk[0] === 0x6b) {
      this.#acker.idle(chunk.readBigUInt64BE(1), this.#head !== undefined);
      if (chunk[17] === 1) this.#sendStatus();
    }
  }

  /** What opens and closes a transaction, or describes tables, is read at once; changes when they are applied. */
  #message(chunk: Buffer): void {
    const tag = chunk[MESSAGE_AT] ?? 0;
    // One that is not transactional stands between transactions, and is nobody's change.
    if (tag === MESSAGE_TAG && ((chunk[MESSAGE_AT + 1] ?? 0) & TRANSACTIONAL) === 0) return;
    if (CHANGE_TAGS.includes(tag)) {
      this.#raw.add(chunk, MESSAGE_AT);
      this.#seq += 1;
      if (this.#raw.size >= this.#pieceLimit || this.#raw.bytes >= PIECE_BYTES)
        this.#hand(undefined);
      return;
    }
    const message = this.#decoder.decode(chunk, MESSAGE_AT, chunk.length);
    if (message.kind === 'begin') {
      const { xid, commitLsn, commitUs } = message;
      const commitMs = Math.floor(commitUs / 1_000);
      this.#head = { xid, commitLsn, commitMs, commitUs, origin: undefined };
      this.#seq = 0;
    } else if (message.kind === 'origin' && this.#head)
      this.#head = { ...this.#head, origin: message.name };
    else if (message.kind === 'commit') {
      this.#hand(message.endLsn);
      this.#head = undefined;
    }
  }

  #hand(endLsn: Lsn | undefined): void {
    if (!this.#head) return;
    this.#queue.push(this.#raw.take(this.#head, this.#seq, endLsn));
    if (endLsn !== undefined) this.#acker.handed(endLsn);
    if (this.#queue.cost > this.#queueBytes && !this.#paused) {
      this.#paused = true;
      this.#connection.stream.pause();
    }
    this.#wake?.();
  }

  #fail(error: Error): void {
    if (this.#closed) return;
    this.#failure ??= error;
    clearInterval(this.#timer);
    this.#wake?.();
  }

  /** Standby status update: all three LSNs are what is durable at the target. */
  #sendStatus(wantsReply = false): void {
    const status = Buffer.alloc(34);
    const lsn = this.#acker.safe;
    status[0] = 0x72;
    status.writeBigUInt64BE(lsn, 1);
    status.writeBigUInt64BE(lsn, 9);
    status.writeBigUInt64BE(lsn, 17);
    status.writeBigUInt64BE(BigInt(Date.now()) * 1000n - POSTGRES_EPOCH_US, 25);
    if (wantsReply) status[33] = 1;
    this.#connection.sendCopyFromChunk(status);
  }
}
