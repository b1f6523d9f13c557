// Pieces of the log as the socket brought them: bytes, which the collector of garbage need not look at.
// They are decoded when somebody looks at them, one piece at a time: whoever looks at one again after
// another has it decoded again, and a batch that waits for its target is no heap of objects. The driver
// uses its buffers again, so messages are copied into slabs.
import type { Change, Piece, TransactionHead } from './domain/change.ts';
import type { PgOutputDecoder } from './domain/pgoutput.ts';

const SLAB_BYTES = 262_144;
/** Where a message of the stream has the place in the WAL of what it is about. */
const LSN_AT = 1;
/** Before each message stand its length and which descriptions of tables it follows. */
const PREFIX_BYTES = 8;

/** Where messages lie one behind the other: a slab, from where, up to where; and the next such stretch. */
type Places = (Buffer | number)[];

export class RawPieces {
  readonly #decoder: PgOutputDecoder;
  readonly #lsnsWanted: boolean;
  #slab = Buffer.alloc(0);
  /** Where what has been gathered since the last piece begins, and ends, in the present slab. */
  #begun = 0;
  #free = 0;
  #places: Places | undefined;
  #lsns: bigint[] = [];
  #atHand: { readonly piece: RawPiece; readonly changes: readonly Change[] } | undefined;
  /** Changes gathered since the last piece. */
  size = 0;
  /** The memory that they take. */
  bytes = 0;

  constructor(decoder: PgOutputDecoder, lsnsWanted = false) {
    this.#decoder = decoder;
    this.#lsnsWanted = lsnsWanted;
  }

  /** Gathers the change whose message begins at `from` of what the stream brought. */
  add(chunk: Buffer, from: number): void {
    const length = chunk.length - from;
    const needed = PREFIX_BYTES + length;
    if (this.#free + needed > this.#slab.length) {
      this.#closeStretch();
      this.#slab = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, needed));
      this.#begun = 0;
      this.#free = 0;
    }
    this.#slab.writeUInt32LE(length, this.#free);
    this.#slab.writeUInt32LE(this.#decoder.version, this.#free + 4);
    chunk.copy(this.#slab, this.#free + PREFIX_BYTES, from);
    this.#free += needed;
    this.bytes += needed;
    this.size += 1;
    if (this.#lsnsWanted) this.#lsns.push(chunk.readBigUInt64BE(LSN_AT));
  }

  /** Makes a piece of what has been gathered; `seq` is that of its last change. */
  take(head: TransactionHead, seq: number, endLsn: bigint | undefined): Piece {
    this.#closeStretch();
    const { size, bytes } = this;
    const lsns = this.#lsnsWanted ? this.#lsns : undefined;
    const firstSeq = seq - size + 1;
    const said = { head, endLsn, firstSeq, size, bytes, lsns };
    const piece = new RawPiece(said, this.#places ?? [], this.#changesOf);
    this.#places = undefined;
    if (this.#lsnsWanted) this.#lsns = [];
    this.size = 0;
    this.bytes = 0;
    return piece;
  }

  #closeStretch(): void {
    if (this.#free === this.#begun) return;
    const stretch = [this.#slab, this.#begun, this.#free];
    if (this.#places) this.#places.push(...stretch);
    else this.#places = stretch;
    this.#begun = this.#free;
  }

  readonly #changesOf = (piece: RawPiece, places: Places): readonly Change[] => {
    if (this.#atHand?.piece === piece) return this.#atHand.changes;
    // Before the next ones come to be, the last ones may go.
    this.#atHand = undefined;
    const changes = decode(this.#decoder, piece.size, places);
    this.#atHand = { piece, changes };
    return changes;
  };
}

class RawPiece implements Piece {
  readonly head: TransactionHead;
  readonly firstSeq: number;
  readonly endLsn: bigint | undefined;
  readonly size: number;
  readonly bytes: number;
  readonly lsns: Piece['lsns'];
  readonly #places: Places;
  readonly #changesOf: (piece: RawPiece, places: Places) => readonly Change[];

  constructor(
    said: Omit<Piece, 'changes' | 'read'>,
    places: Places,
    changesOf: (piece: RawPiece, places: Places) => readonly Change[],
  ) {
    this.head = said.head;
    this.firstSeq = said.firstSeq;
    this.endLsn = said.endLsn;
    this.size = said.size;
    this.bytes = said.bytes;
    this.lsns = said.lsns;
    this.#places = places;
    this.#changesOf = changesOf;
  }

  get changes(): readonly Change[] {
    return this.#changesOf(this, this.#places);
  }
}

function decode(decoder: PgOutputDecoder, size: number, places: Places): Change[] {
  const changes = new Array<Change>(size);
  let next = 0;
  for (let index = 0; index < places.length; index += 3) {
    const slab = places[index] as Buffer;
    const to = places[index + 2] as number;
    for (let at = places[index + 1] as number; at < to;) {
      const from = at + PREFIX_BYTES;
      const version = slab.readUInt32LE(at + 4);
      at = from + slab.readUInt32LE(at);
      const message = decoder.decode(slab, from, at, version);
      if (message.kind === 'change') changes[next++] = message.change;
    }
  }
  return changes;
}
