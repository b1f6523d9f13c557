// What a client carries about its own writes: for each capability the latest moment, in the control
// database's clock, at which a write of it was answered. As text `catalog:lq2x9k4c~orders:…`, with
// a signature behind a dot, because a forged moment could keep reads away from the service.

/** Capability → milliseconds since the epoch. */
export type Moments = ReadonlyMap<string, number>;

/** `moments` as signed text; `sign` gives text without a dot. */
export function formatMoments(moments: Moments, sign: (text: string) => string): string {
  const text = [...moments].map(([name, at]) => `${name}:${at.toString(36)}`).join('~');
  return `${text}.${sign(text)}`;
}

/** Reads what `formatMoments` made; whatever else it gets says nothing. */
export function parseMoments(
  token: string | undefined,
  isSigned: (text: string, signature: string) => boolean,
): Moments {
  const moments = new Map<string, number>();
  if (token === undefined || token.length > LONGEST) return moments;
  const dot = token.lastIndexOf('.');
  const text = token.slice(0, Math.max(dot, 0));
  if (!isSigned(text, token.slice(dot + 1))) return moments;
  for (const part of text.split('~')) {
    const [name = '', moment = ''] = part.split(':');
    const at = Number.parseInt(moment, 36);
    if (name !== '' && Number.isSafeInteger(at)) moments.set(name, at);
  }
  return moments;
}

/** Characters that are looked at; a cookie holds no more. */
const LONGEST = 4_096;
