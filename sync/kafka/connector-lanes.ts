// Records of a Debezium connector's topics, partition by partition, as pieces. They have no position of
// ours, and transactions lie scattered over the partitions: each row's order is the promise. A record
// that the connector sends again is told by its `source.sequence`: in one partition, commits follow each
// other, and so do the changes of a transaction. One that has forgotten where it was begins anew: it may
// have left changes out, deletes above all, and the tables are copied again. What the flow itself has to say comes in from beside:
// at once; when all partitions have come to the ends that were read once the connector had confirmed it;
// or, of an owner, exactly between the last change before it and the first behind it.
import { BanyanError } from '../../core/errors.ts';
import type { Fetched } from '../../core/kafka/client.ts';
import type { Lsn, Position } from '../../core/postgres/lsn.ts';
import type { Change, LogPlace, Piece, TransactionHead } from '../domain/change.ts';
import type { Decoded } from '../domain/debezium/decoder.ts';
import { thinned, type Saying } from './connector-sayings.ts';
import { partitionOf, type Offsets } from './consume-offsets.ts';
import { holeBefore, moves, placeOf, type DecodedChange, type Lane } from './connector-lane.ts';
import { sizeOf } from './consume-queue.ts';

const PIECE_CHANGES = 1_000;

export interface ConnectorLanesOptions {
  /** All partitions, and where they begin. */
  readonly offsets: Offsets;
  readonly from: Position;
  readonly decode: (record: Fetched) => Decoded;
  /** Whether there are topics which the connector has not made yet: it may hold the first records of one. */
  readonly lacks?: boolean;
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
  /** The place in the WAL before which the connector may have left changes out; from then on nothing is taken. */
  #hole: Lsn | undefined;

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

  /** Nothing that anybody reads stands before this offset, but for what was given and is not done yet. */
  reach(name: string, offset: bigint): void {
    const lane = this.#lanes.find((one) => one.name === name);
    if (lane && lane.records.length === 0 && offset > lane.place.next)
      lane.place = { ...lane.place, next: offset };
  }

  say(saying: Saying): void {
    this.#sayings = thinned([...this.#sayings, saying]);
  }

  /** Whether something can be said now. */
  get speaks(): boolean {
    return this.#due().length > 0;
  }

  /** Set once the connector has begun anew, and the piece that has the tables copied again has been taken. */
  get hole(): Lsn | undefined {
    return this.#hole;
  }

  /** The pieces that what was given makes. Throws FLOW_STOPPED. */
  take(): Piece[] {
    if (this.#hole !== undefined) return [];
    do for (const lane of this.#lanes) this.#run(lane);
    while (this.#speak());
    this.#copyAgain();
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
      if (decoded.kind !== 'change' || decoded.change.kind === 'message') {
        lane.place = { ...lane.place, next: record.offset + 1n };
        continue;
      }
      if (this.#beginsAnew(lane, decoded)) break;
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
      if (!moves(lane, record, decoded, this.#complete.timeline)) continue;
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

  /** Whether the connector begins anew at this record, and nothing was done about it yet. */
  #beginsAnew(lane: Lane, decoded: DecodedChange): boolean {
    const hole = holeBefore(lane, decoded);
    if (hole === undefined) return false;
    this.#hole = this.#hole !== undefined && this.#hole > hole ? this.#hole : hole;
    return true;
  }

  /** Where there is a hole, the tables are copied again; what is read again after that counts as known. */
  #copyAgain(): void {
    const copied = this.#hole;
    if (copied === undefined) return;
    const places = this.#lanes.map((lane): [string, LogPlace] => [
      lane.name,
      { ...placeOf(lane), copied },
    ]);
    const { timeline } = this.#complete;
    this.#pieces.push({
      head: {
        xid: 0,
        commitLsn: this.#behind(undefined),
        commitMs: 0,
        origin: undefined,
        timeline,
      },
      ...{ changes: [], bytes: 0, size: 0, firstSeq: 1, endLsn: undefined },
      read: { places: new Map(places), complete: this.#complete, due: true, copyAgain: true },
    });
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
    // Of a topic that is not there it is known once all before that place has been confirmed.
    if (this.#options.lacks && ends === undefined) return false;
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
