// Pieces of the log as the socket brought them: decoded when they are applied, in the order in which
// they came, for what a message means depends on the descriptions of tables before it. Until then
// they are bytes, which the collector of garbage need not look at. The driver uses its buffers again,
// so messages are copied into slabs.
import type { Change, Piece, TransactionHead } from './domain/change.ts';
import type { PgOutputDecoder } from './domain/pgoutput.ts';

const SLAB_BYTES = 262_144;
/** Where a message of the stream has the place in the WAL of what it is about. */
const LSN_AT = 1;

/** Where a message lies: its slab, where it begins and where it ends, one after the other. */
type Places = (Buffer | number)[];

export class RawPieces {
  readonly #decoder: PgOutputDecoder;
  readonly #lsnsWanted: boolean;
  readonly #undecoded: (RawPiece | undefined)[] = [];
  #next = 0;
  #slab = Buffer.alloc(0);
  #free = 0;
  #places: Places = [];
  #lsns: bigint[] = [];
  /** Changes gathered since the last piece; descriptions of tables are none. */
  size = 0;
  bytes = 0;

  constructor(decoder: PgOutputDecoder, lsnsWanted = false) {
    this.#decoder = decoder;
    this.#lsnsWanted = lsnsWanted;
  }

  /** Gathers the message that begins at `from` of what the stream brought. */
  add(chunk: Buffer, from: number, kind: 'change' | 'description'): void {
    const length = chunk.length - from;
    if (this.#free + length > this.#slab.length) {
      this.#slab = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, length));
      this.#free = 0;
    }
    chunk.copy(this.#slab, this.#free, from);
    this.#places.push(this.#slab, this.#free, this.#free + length);
    this.#free += length;
    this.bytes += length;
    if (kind === 'description') return;
    this.size += 1;
    if (this.#lsnsWanted) this.#lsns.push(chunk.readBigUInt64BE(LSN_AT));
  }

  /** Makes a piece of what has been gathered; `seq` is that of its last change. */
  take(head: TransactionHead, seq: number, endLsn: bigint | undefined): Piece {
    const piece = new RawPiece(head, this.#gathered(), seq, endLsn, this.#places, this.#decodeUpTo);
    this.#undecoded.push(piece);
    this.#places = [];
    this.#lsns = [];
    this.size = 0;
    this.bytes = 0;
    return piece;
  }

  #gathered(): Gathered {
    const { size, bytes } = this;
    return { size, bytes, lsns: this.#lsnsWanted ? this.#lsns : undefined };
  }

  readonly #decodeUpTo = (last: RawPiece): void => {
    for (let piece; piece !== last;) {
      piece = this.#undecoded[this.#next];
      if (!piece) break;
      // Whoever applies it holds it; we would hold all its changes.
      this.#undecoded[this.#next] = undefined;
      this.#next += 1;
      piece.decode(this.#decoder);
    }
    if (this.#next < this.#undecoded.length && this.#next < 1_024) return;
    this.#undecoded.splice(0, this.#next);
    this.#next = 0;
  };
}

type Gathered = Pick<Piece, 'size' | 'bytes' | 'lsns'>;

class RawPiece implements Piece {
  readonly head: TransactionHead;
  readonly firstSeq: number;
  readonly endLsn: bigint | undefined;
  readonly size: number;
  readonly bytes: number;
  readonly lsns: Piece['lsns'];
  readonly #decodeUpTo: (piece: RawPiece) => void;
  #places: Places | undefined;
  #changes: readonly Change[] = [];

  constructor(
    head: TransactionHead,
    { size, bytes, lsns }: Gathered,
    seq: number,
    endLsn: bigint | undefined,
    places: Places,
    decodeUpTo: (piece: RawPiece) => void,
  ) {
    this.head = head;
    this.firstSeq = seq - size + 1;
    this.endLsn = endLsn;
    this.size = size;
    this.bytes = bytes;
    this.lsns = lsns;
    this.#places = places;
    this.#decodeUpTo = decodeUpTo;
  }

  get changes(): readonly Change[] {
    if (this.#places) this.#decodeUpTo(this);
    return this.#changes;
  }

  decode(decoder: PgOutputDecoder): void {
    const places = this.#places ?? [];
    const changes: Change[] = [];
    for (let index = 0; index < places.length; index += 3) {
      const message = decoder.decode(
        places[index] as Buffer,
        places[index + 1] as number,
        places[index + 2] as number,
      );
      if (message.kind === 'change') changes.push(message.change);
    }
    this.#places = undefined;
    this.#changes = changes;
  }
}
