// Records of a Debezium connector's topics, partition by partition, as pieces. They have no position of
// ours, and transactions lie scattered over the partitions: each row's order is the promise. A record
// that the connector sends again is told by its `source.sequence`: in one partition, commits follow each
// other, and so do the changes of a transaction. What the flow itself has to say comes in from beside:
// at once; when all partitions have come to the ends that were read once the connector had confirmed it;
// or, of an owner, exactly between the last change before it and the first behind it.
import { BanyanError } from '../../core/errors.ts';
import type { Fetched } from '../../core/kafka/client.ts';
import type { Lsn, Position } from '../../core/postgres/lsn.ts';
import type { Change, LogPlace, Piece, TransactionHead } from '../domain/change.ts';
import type { Decoded } from '../domain/debezium/decoder.ts';
import { partitionOf, type Offsets } from './consume-offsets.ts';
import { sizeOf } from './consume-queue.ts';

const PIECE_CHANGES = 1_000;

/** Something to be said in the stream. */
export interface Saying {
  readonly change: Change;
  /** What was committed before this place in the WAL comes before it; at once where left out. */
  readonly lsn?: Lsn;
  /** Whether nothing behind that place may come before it. */
  readonly exact?: boolean;
  /** Ends of the partitions, read once the connector had confirmed that place. */
  ends?: ReadonlyMap<string, bigint>;
}

export interface ConnectorLanesOptions {
  /** All partitions, and where they begin. */
  readonly offsets: Offsets;
  readonly from: Position;
  readonly decode: (record: Fetched) => Decoded;
}

interface Lane {
  readonly name: string;
  place: LogPlace;
  records: Fetched[];
  /** Keys of the records at `place`: rows of one COPY stand at the same one. */
  keys: Set<string>;
  blocked: boolean;
}

interface Stretch {
  readonly head: TransactionHead;
  readonly changes: Change[];
  bytes: number;
}

export class ConnectorLanes {
  readonly #options: ConnectorLanesOptions;
  readonly #lanes: readonly Lane[];
  #complete: Position;
  #sayings: Saying[] = [];
  #pieces: Piece[] = [];
  /** A record came that does not say where its change was made. */
  originless = false;

  constructor(options: ConnectorLanesOptions) {
    this.#options = options;
    this.#complete = options.from;
    this.#lanes = [...options.offsets].map(([name, place]) => ({
      ...{ name, place, records: [], keys: new Set(place.keys), blocked: false },
    }));
  }

  /** Its records are not wanted yet. */
  waits(name: string): boolean {
    return this.#lanes.some((lane) => lane.name === name && lane.blocked);
  }

  give(name: string, records: readonly Fetched[]): void {
    this.#lanes.find((lane) => lane.name === name)?.records.push(...records);
  }

  say(saying: Saying): void {
    this.#sayings.push(saying);
  }

  /** Whether something can be said now. */
  get speaks(): boolean {
    return this.#due().length > 0;
  }

  /** The pieces that what was given makes. Throws FLOW_STOPPED. */
  take(): Piece[] {
    do for (const lane of this.#lanes) this.#run(lane);
    while (this.#speak());
    const pieces = this.#pieces;
    this.#pieces = [];
    return pieces;
  }

  #run(lane: Lane): void {
    const wall = this.#sayings.find(({ exact }) => exact)?.lsn;
    let stretch: Stretch | undefined;
    let done = 0;
    lane.blocked = false;
    for (; done < lane.records.length; done++) {
      const record = lane.records[done] as Fetched;
      const decoded = this.#options.decode(record);
      const next = record.offset + 1n;
      if (decoded.kind !== 'change' || decoded.change.kind === 'message') {
        lane.place = { ...lane.place, next };
        continue;
      }
      const { lsn, xid = 0, commitMs, origin, originKnown } = decoded.head;
      if (wall !== undefined && lsn !== undefined && lsn > wall && !decoded.snapshot) {
        lane.blocked = true;
        break;
      }
      const full = stretch && stretch.changes.length >= PIECE_CHANGES;
      if (stretch && (full || stretch.head.xid !== xid)) {
        this.#hand(lane, stretch);
        stretch = undefined;
      }
      if (!this.#moves(lane, record, decoded, next)) continue;
      this.originless ||= !originKnown;
      lane.place = { ...lane.place, originless: !originKnown };
      if (decoded.change.kind === 'truncate') this.#assertAlone(lane);
      const { timeline } = this.#complete;
      stretch ??= {
        head: { xid, commitLsn: this.#behind(lsn), commitMs, origin, timeline },
        changes: [],
        bytes: 0,
      };
      stretch.changes.push(decoded.change);
      stretch.bytes += sizeOf(record);
    }
    if (stretch) this.#hand(lane, stretch);
    lane.records.splice(0, done);
  }

  /** Puts the partition's place behind a record; gives whether that is one that has not been taken yet. */
  #moves(
    lane: Lane,
    record: Fetched,
    { head, snapshot }: Decoded & { readonly kind: 'change' },
    next: bigint,
  ): boolean {
    const { place } = lane;
    const { lsn, lastCommit = 0n } = head;
    // A row that was read has no place among the changes, and says what it is whenever it comes.
    if (snapshot || lsn === undefined) {
      lane.place = { ...place, next };
      return true;
    }
    const { position, lsn: last = -1n } = place;
    const key = record.key ?? record.value ?? '';
    if (lastCommit === position.commitLsn && lsn === last) {
      const isNew = !lane.keys.has(key);
      lane.keys.add(key);
      lane.place = { ...place, next };
      return isNew;
    }
    const { commitLsn } = position;
    if (last >= 0n && (lastCommit < commitLsn || (lastCommit === commitLsn && lsn < last))) {
      lane.place = { ...place, next };
      return false;
    }
    lane.keys = new Set([key]);
    const { timeline } = this.#complete;
    lane.place = { ...place, next, position: { timeline, commitLsn: lastCommit, seq: 0 }, lsn };
    return true;
  }

  /** Where a TRUNCATE stands among the rows is known in one partition only. */
  #assertAlone({ name }: Lane): void {
    const { topic } = partitionOf(name);
    if (this.#lanes.filter((lane) => partitionOf(lane.name).topic === topic).length === 1) return;
    throw new BanyanError(
      'FLOW_STOPPED',
      `a TRUNCATE came by topic ${topic}, whose partitions do not tell which rows were there before it`,
      {
        hint: 'Leave skipped.operations of the connector at its default (t), give the topic one partition, or roll the capability back to monolith and start its sync anew.',
      },
    );
  }

  /** Says what is due, in the order in which it was given; gives whether partitions may go on because of it. */
  #speak(): boolean {
    let frees = false;
    const due = this.#due();
    this.#sayings = this.#sayings.filter((one) => !due.includes(one));
    for (const { change, lsn, exact } of due) {
      frees ||= exact === true;
      const commitLsn = this.#behind(lsn);
      if (lsn !== undefined) this.#complete = { ...this.#complete, commitLsn };
      this.#add(
        {
          ...{ xid: 0, commitLsn, commitMs: 0, origin: undefined },
          timeline: this.#complete.timeline,
        },
        { changes: [change], bytes: 0 },
        // Partitions by which nothing of ours came have moved on as well.
        lsn === undefined
          ? new Map()
          : new Map(this.#lanes.map((lane) => [lane.name, placeOf(lane)])),
        lsn !== undefined,
      );
    }
    return frees;
  }

  /** Of those that are exact only the first: the partitions that are blocked wait for it. */
  #due(): Saying[] {
    const first = this.#sayings.find(({ exact }) => exact);
    return this.#sayings.filter((one) => (!one.exact || one === first) && this.#isDue(one));
  }

  #isDue({ lsn, exact, ends }: Saying): boolean {
    if (lsn === undefined) return true;
    return this.#lanes.every(
      (lane) =>
        (exact === true && lane.blocked) ||
        (ends !== undefined && lane.place.next >= (ends.get(lane.name) ?? 0n)),
    );
  }

  /** A place in the log that counts as new: whatever was complete lies before it. */
  #behind(lsn: Lsn | undefined): Lsn {
    const next = this.#complete.commitLsn + 1n;
    return lsn !== undefined && lsn > next ? lsn : next;
  }

  #hand(lane: Lane, { head, ...stretch }: Stretch): void {
    this.#add(head, stretch, new Map([[lane.name, placeOf(lane)]]), false);
  }

  #add(
    head: TransactionHead,
    { changes, bytes }: Pick<Stretch, 'changes' | 'bytes'>,
    places: Offsets,
    due: boolean,
  ): void {
    this.#pieces.push({
      ...{ head, changes, bytes, firstSeq: 1, size: changes.length },
      endLsn: head.commitLsn,
      read: { places, complete: this.#complete, due },
    });
  }
}

function placeOf({ place, keys }: Lane): LogPlace {
  return place.lsn === undefined ? place : { ...place, keys: [...keys] };
}
