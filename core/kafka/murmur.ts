// The hash by which a key finds its partition, as with Java's client, so that whoever writes with another
// client agrees.

const SEED = 0x9747b28c;
const M = 0x5bd1e995;
const POSITIVE = 0x7fffffff;

/** MurmurHash2 of 32 bits as org.apache.kafka.common.utils.Utils has it; signed. */
export function murmur2(data: Buffer): number {
  const { length } = data;
  let hash = SEED ^ length;
  let at = 0;
  for (; at + 4 <= length; at += 4) {
    const word = Math.imul(data.readInt32LE(at), M);
    hash = Math.imul(hash, M) ^ Math.imul(word ^ (word >>> 24), M);
  }
  if (at < length) {
    hash ^= data.readUIntLE(at, length - at);
    hash = Math.imul(hash, M);
  }
  hash = Math.imul(hash ^ (hash >>> 13), M);
  return hash ^ (hash >>> 15);
}

/** What tells a key's partition: that is the rest of its division by their number, as with Java's client. */
export function keyHash(key: Buffer): number {
  return murmur2(key) & POSITIVE;
}
