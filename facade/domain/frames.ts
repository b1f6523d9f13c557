// Where WebSocket frames end (RFC 6455 §5.2) in a stream of which nothing else is read: only between
// two frames may somebody else put one in. Keeps no bytes of the payload.

/** Status codes of RFC 6455 §7.4.1 and its registry. */
export type CloseCode = 1001 | 1012;

const CLOSE = 8;

/** Follows one direction of a WebSocket. */
export class FrameBoundary {
  /** Bytes of the current frame that are still to come, once its header is whole. */
  #payload = 0;
  /** The header so far, while it is not whole. */
  #header: number[] = [];
  #closed = false;

  /** Whether a frame put in now stands between two frames. */
  get between(): boolean {
    return this.#payload === 0 && this.#header.length === 0;
  }

  /** Whether a Close frame has gone by: nothing may follow it. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Takes the next bytes. */
  see(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#payload > 0) {
        const step = Math.min(this.#payload, chunk.length - at);
        this.#payload -= step;
        at += step;
        continue;
      }
      this.#header.push(chunk[at++] ?? 0);
      this.#readHeader();
    }
  }

  #readHeader(): void {
    const [first, second] = this.#header;
    if (first === undefined || second === undefined) return;
    const short = second & 0x7f;
    const extended = short === 127 ? 8 : short === 126 ? 2 : 0;
    const mask = second >= 0x80 ? 4 : 0;
    if (this.#header.length < 2 + extended + mask) return;
    if ((first & 0x0f) === CLOSE) this.#closed = true;
    this.#payload = this.#header
      .slice(2, 2 + extended)
      .reduce((sum, byte) => sum * 256 + byte, extended === 0 ? short : 0);
    this.#header = [];
  }
}

/** A server's Close frame. */
export function closeFrame(code: CloseCode): Uint8Array {
  return Uint8Array.of(0x80 | CLOSE, 2, code >> 8, code & 0xff);
}
