// hstore's text, `"a"=>"1", "b"=>NULL`, in both directions.

const PAIR = /"((?:[^"\\]|\\.)*)"=>(?:"((?:[^"\\]|\\.)*)"|NULL)/gs;

export function parseHstore(text: string): readonly (readonly [string, string | null])[] {
  return Array.from(text.matchAll(PAIR), ([, key = '', value]): [string, string | null] => [
    unescape(key),
    value === undefined ? null : unescape(value),
  ]);
}

/** In PostgreSQL's order: short keys first, then by their bytes. */
export function printHstore(pairs: Iterable<readonly [string, string | null]>): string {
  return Array.from(pairs, ([key, value]) => ({ bytes: Buffer.from(key), key, value }))
    .sort((a, b) => a.bytes.length - b.bytes.length || Buffer.compare(a.bytes, b.bytes))
    .map(({ key, value }) => `${escape(key)}=>${value === null ? 'NULL' : escape(value)}`)
    .join(', ');
}

const unescape = (text: string): string => text.replace(/\\(.)/gs, '$1');
const escape = (text: string): string => `"${text.replace(/["\\]/g, '\\$&')}"`;
