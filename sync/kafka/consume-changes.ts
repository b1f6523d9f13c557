// The topic of a whole source, one partition, as pieces: what is sent again is left out, transactions
// come whole, large ones in parts. Where a change of the one sequence is missing, it ends.
import type { Fetched } from '../../core/kafka/client.ts';
import { BanyanError } from '../../core/errors.ts';
import type { Lsn, Position } from '../../core/postgres/lsn.ts';
import type { Change, Piece, TransactionHead } from '../domain/change.ts';
import type { Decoded } from '../domain/debezium/decoder.ts';
import { HoleError, Run } from '../domain/run.ts';
import { afterOf, goneOf, HEADERS, Positions } from '../domain/debezium/position.ts';
import { partitionName } from './consume-offsets.ts';
import { Gap } from './consume-gap.ts';
import { sizeOf } from './consume-queue.ts';
import { ANEW } from './consume-start.ts';

const PIECE_BYTES = 1_048_576;
const PIECE_CHANGES = 5_000;
/** In the place of a change that is none of ours: the numbers of those behind it stay. */
const NOTHING: Change = { kind: 'message', prefix: '', content: '' };

export interface ChangesOptions {
  /** The flow's checkpoint. */
  readonly from: Position;
  /** Of the relay's slot; of a topic that others fill, undefined. */
  readonly life?: string | undefined;
  /** Whose changes it reads; without it, nothing that is missing is taken for others'. */
  readonly capability?: string | undefined;
  /** Whether the topic has been read without a gap up to where this begins. */
  readonly joined?: boolean | undefined;
  readonly decode: (record: Fetched) => Decoded;
  /** Told of a change of a table that the flow does not read. */
  readonly foreign: (
    decoded: Decoded & { readonly kind: 'foreign' },
    headers: Fetched['headers'],
  ) => void;
  /**
   * Whether the source has, on this newer timeline, all that was taken up to a position. Throws
   * FLOW_STOPPED.
   */
  readonly continues: (from: Position, timeline: number) => Promise<void>;
  /** Changes after which a transaction is handed over in parts; so it is after some bytes. */
  readonly pieceLimit?: number | undefined;
}

export class ChangesAssembly {
  readonly #options: ChangesOptions;
  readonly #run: Run;
  readonly #limit: number;
  readonly #positions = new Positions();
  /** Of the partition. */
  #name = '';
  readonly #gap: Gap | undefined;
  #head: TransactionHead | undefined;
  /** Of the last change. */
  #seq = 0;
  #changes: Change[] = [];
  #bytes = 0;

  constructor(options: ChangesOptions) {
    this.#options = options;
    this.#run = new Run(options.from);
    this.#limit = options.pieceLimit ?? PIECE_CHANGES;
    const { capability, joined, from } = options;
    if (joined === false && capability !== undefined) this.#gap = new Gap(capability, from);
    const { seq } = from;
    this.#seq = this.#run.open ? seq : 0;
  }

  /** Where in the source's log a record stands. */
  positionOf(record: Fetched): Position | undefined {
    const taken = this.#takenAt(record);
    if (taken) return taken;
    const decoded = this.#options.decode(record);
    return 'position' in decoded ? decoded.position : undefined;
  }

  /**
   * The piece that a record completes, if any; a promise of it where the source must be asked first. Throws
   * KAFKA_LOG_LOST, FLOW_STOPPED.
   */
  add(record: Fetched): Piece | undefined | Promise<Piece | undefined> {
    if (this.#takenAt(record)) return undefined;
    const decoded = this.#options.decode(record);
    const position = 'position' in decoded ? decoded.position : undefined;
    if (!position) return undefined;
    if (position.timeline <= this.#run.last.timeline || !this.#run.begins(position))
      return this.#take(record, decoded, position);
    return this.#options
      .continues(this.#run.last, position.timeline)
      .then(() => this.#take(record, decoded, position));
  }

  /**
   * Where a record of a transaction stands of which all was taken, by its headers alone: what need not be taken
   * need not be readable either.
   */
  #takenAt({ headers }: Fetched): Position | undefined {
    const position = this.#positions.read(headers[HEADERS.position]);
    return position && !this.#run.begins(position) ? position : undefined;
  }

  #take(record: Fetched, decoded: Decoded, position: Position): Piece | undefined {
    const { headers } = record;
    const isFirst = decoded.kind !== 'begin' && this.#run.isFirst(position);
    if (isFirst) this.#assertLife(record);
    try {
      if (decoded.kind === 'end')
        return this.#run.ends(position)
          ? this.#piece(record, decoded.xid, decoded.endLsn ?? position.commitLsn)
          : undefined;
      if (decoded.kind !== 'change' && decoded.kind !== 'foreign') return undefined;
      const follows = isFirst ? this.#follows(headers) : undefined;
      if (!this.#run.takes(position, follows)) return undefined;
      this.#gap?.sees(decoded, headers);
      this.#seq = position.seq;
    } catch (error) {
      throw error instanceof HoleError ? this.#lost(record, error) : error;
    }
    const { xid = 0, commitMs, origin } = decoded.head;
    const { timeline, commitLsn } = position;
    this.#head ??= { xid, commitLsn, commitMs, origin, timeline };
    if (decoded.kind === 'foreign') this.#options.foreign(decoded, headers);
    this.#changes.push(decoded.kind === 'change' ? decoded.change : NOTHING);
    this.#bytes += sizeOf(record);
    const large = this.#changes.length >= this.#limit || this.#bytes >= PIECE_BYTES;
    return large ? this.#piece(record, xid, undefined) : undefined;
  }

  /** What must have been taken before the first change of a transaction. */
  #follows(headers: Fetched['headers']): Lsn | undefined {
    const gone = this.#options.joined === true ? undefined : goneOf(headers);
    const after = afterOf(headers);
    const follows = after !== undefined && gone !== undefined && gone > after ? gone : after;
    return this.#gap ? this.#gap.asked(follows) : follows;
  }

  #lost({ topic, offset }: Fetched, error: HoleError): BanyanError {
    const retention =
      this.#options.joined === false
        ? 'Does the topic keep records for less time than the flow was away? Raise changeLog.kafka.topics.retentionMs. '
        : '';
    return new BanyanError(
      'KAFKA_LOG_LOST',
      `changes are missing in topic ${topic} before offset ${offset}: ${error.message}`,
      { hint: `${retention}${ANEW}`, cause: error },
    );
  }

  /** The same numbers mean other changes in the log of another slot. */
  #assertLife({ topic, offset, headers }: Fetched): void {
    const { life } = this.#options;
    if (life === undefined || headers[HEADERS.life] === life) return;
    throw new BanyanError(
      'KAFKA_LOG_LOST',
      `at offset ${offset} topic ${topic} goes on with changes of another slot or server (${headers[HEADERS.life] ?? 'unknown'}, where the relay's is ${life})`,
      {
        hint: `Was the source restored or made anew? ${ANEW} Where the topic has an older database's changes, give changeLog.kafka another prefix, or delete the topic, in between.`,
      },
    );
  }

  #piece(record: Fetched, xid: number, endLsn: Lsn | undefined): Piece | undefined {
    const changes = this.#changes;
    const { last } = this.#run;
    if (this.#name === '') this.#name = partitionName(record);
    const head = this.#head ?? {
      ...{ xid, commitLsn: last.commitLsn, timeline: last.timeline },
      ...{ commitMs: record.timestampMs, origin: undefined },
    };
    const piece = {
      ...{ head, changes, size: changes.length, bytes: this.#bytes, endLsn },
      firstSeq: this.#seq - changes.length + 1,
      read: {
        places: new Map([[this.#name, { next: record.offset + 1n, position: last, part: 0 }]]),
        ...{ complete: last, due: false },
      },
    };
    this.#changes = [];
    this.#bytes = 0;
    if (endLsn !== undefined) this.#head = undefined;
    return this.#gap?.isOpen ? undefined : piece;
  }
}
