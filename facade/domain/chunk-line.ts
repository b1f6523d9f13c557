// The line before a chunk (RFC 9112 §7.1): its size in hexadecimal digits, perhaps extensions, which stay on
// their hop, CR LF. It may come in pieces.
import { MalformedAnswer } from './answer-fields.ts';

const CR = 0x0d;
const LF = 0x0a;
const SEMICOLON = 0x3b;
const SPACE = 0x20;
const TAB = 0x09;
/** Of the size of a chunk and what may stand behind it; more is nothing that anybody means. */
const LINE_BYTES = 4_096;
/** Digits of the largest size that is a safe integer. */
const SIZE_DIGITS = 13;

export class ChunkLine {
  #size = 0;
  #digits = 0;
  /** Of all that has come. */
  #bytes = 0;
  #part: 'size' | 'space' | 'extension' | 'lf' = 'size';

  /** That it says; once it is whole. */
  get size(): number {
    return this.#size;
  }

  /** The next bytes begin a line. */
  begin(): void {
    this.#size = 0;
    this.#digits = 0;
    this.#bytes = 0;
    this.#part = 'size';
  }

  /** Takes what has come, from there; gives where the line ends, or -1 while it has not. Throws MalformedAnswer. */
  take(bytes: Buffer, from: number): number {
    for (let at = from; at < bytes.length; at++) {
      const code = bytes[at] ?? 0;
      this.#bytes += 1;
      if (this.#bytes > LINE_BYTES) throw new MalformedAnswer('the line of a chunk is too long');
      if (this.#part === 'lf') {
        if (code !== LF) throw new MalformedAnswer('a chunk has a line that ends without LF');
        return at + 1;
      }
      if (code === CR && this.#digits > 0) this.#part = 'lf';
      else if (this.#part === 'size') this.#takeDigit(code);
      else if (this.#part === 'space') {
        if (code === SEMICOLON) this.#part = 'extension';
        else if (code !== SPACE && code !== TAB)
          throw new MalformedAnswer('the size of a chunk is no number');
      } else if (code < SPACE && code !== TAB)
        throw new MalformedAnswer('an extension of a chunk has a control character');
    }
    return -1;
  }

  #takeDigit(code: number): void {
    const digit = hexDigit(code);
    if (digit !== -1) {
      this.#digits += 1;
      if (this.#digits > SIZE_DIGITS) throw new MalformedAnswer('a chunk is too large');
      this.#size = this.#size * 16 + digit;
    } else if (this.#digits > 0 && code === SEMICOLON) this.#part = 'extension';
    else if (this.#digits > 0 && (code === SPACE || code === TAB)) this.#part = 'space';
    else throw new MalformedAnswer('the size of a chunk is no number');
  }
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
