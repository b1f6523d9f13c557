// CRC-32C (Castagnoli; RFC 3720, appendix B.4), which guards each batch of Kafka's records. Node's zlib has
// another polynomial only. Eight bytes a step by eight tables, after Intel's "slicing by 8".

import { endianness } from 'node:os';

const POLYNOMIAL = 0x82f63b78;
const STEP = 8;
const TABLES = tables();
const IS_LITTLE = endianness() === 'LE';

/** The checksum of all bytes, unsigned. */
export function crc32c(bytes: Buffer): number {
  const { length } = bytes;
  // Words of four bytes begin at a multiple of four.
  const lead = Math.min(length, (4 - (bytes.byteOffset & 3)) & 3);
  const words = IS_LITTLE ? (length - lead) >>> 3 : 0;
  let crc = rest(bytes, 0, lead, -1);
  if (words > 0) {
    const pairs = new Int32Array(bytes.buffer, bytes.byteOffset + lead, words * 2);
    for (let at = 0; at < pairs.length; at += 2) {
      const low = crc ^ (pairs[at] ?? 0);
      const high = pairs[at + 1] ?? 0;
      crc =
        of(7, low) ^
        of(6, low >>> 8) ^
        of(5, low >>> 16) ^
        of(4, low >>> 24) ^
        of(3, high) ^
        of(2, high >>> 8) ^
        of(1, high >>> 16) ^
        of(0, high >>> 24);
    }
  }
  return ~rest(bytes, lead + words * STEP, length, crc) >>> 0;
}

/** Byte by byte. */
function rest(bytes: Buffer, from: number, to: number, begin: number): number {
  let crc = begin;
  for (let at = from; at < to; at++) crc = of(0, crc ^ (bytes[at] ?? 0)) ^ (crc >>> 8);
  return crc;
}

function of(table: number, byte: number): number {
  return TABLES[table * 256 + (byte & 255)] ?? 0;
}

/** Table n tells what a byte does to the checksum when n more bytes of zero follow. */
function tables(): Int32Array {
  const all = new Int32Array(STEP * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
    all[byte] = crc;
  }
  for (let at = 256; at < all.length; at++) {
    const before = all[at - 256] ?? 0;
    all[at] = (all[before & 255] ?? 0) ^ (before >>> 8);
  }
  return all;
}
