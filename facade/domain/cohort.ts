// Cohorts: a key (a cookie, a header, a request id) always falls into the same of 10 000 buckets,
// on every replica and in every release, and a share takes the buckets from 0 up. So raising a
// share keeps everybody who was in it, and the salt keeps one capability's cohorts independent of
// another's.

export const BUCKETS = 10_000;

/** The bucket of a key, 0 to 9999. Never change this function: it would reshuffle live users. */
export function bucketOf(salt: string, key: string): number {
  return mix(feed(feed(feed(0x811c9dc5, salt), '\n'), key)) % BUCKETS;
}

/** Whether the key is in a share of 0 to 1; a larger share contains every smaller one. */
export function inShare(salt: string, key: string, share: number): boolean {
  return bucketOf(salt, key) < Math.round(share * BUCKETS);
}

/** FNV-1a over the UTF-16 code units, low byte first. */
function feed(hash: number, text: string): number {
  let state = hash;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    state = Math.imul(state ^ (unit & 0xff), 0x01000193);
    state = Math.imul(state ^ (unit >>> 8), 0x01000193);
  }
  return state;
}

/** The finaliser of MurmurHash3, because FNV alone leaves short keys close together. */
function mix(hash: number): number {
  let state = hash ^ (hash >>> 16);
  state = Math.imul(state, 0x85ebca6b);
  state ^= state >>> 13;
  state = Math.imul(state, 0xc2b2ae35);
  return (state ^ (state >>> 16)) >>> 0;
}
