// The members of a JSON object as the raw texts that they are, so that no number loses a digit and no
// nested value is written anew.

/** Undefined for what is not an object, or has a key twice. */
export function membersOf(text: string): Map<string, string> | undefined {
  const members = new Map<string, string>();
  let at = skipBlank(text, 0);
  if (text[at] !== '{') return undefined;
  at = skipBlank(text, at + 1);
  if (text[at] === '}') return isBlank(text, at + 1) ? members : undefined;
  for (;;) {
    const keyEnd = stringEnd(text, at);
    if (keyEnd === undefined) return undefined;
    const key = parsed(text.slice(at, keyEnd));
    at = skipBlank(text, keyEnd);
    if (text[at] !== ':' || typeof key !== 'string' || members.has(key)) return undefined;
    const from = skipBlank(text, at + 1);
    const to = valueEnd(text, from);
    const value = text.slice(from, to).trim();
    if (parsed(value) === undefined) return undefined;
    members.set(key, value);
    at = to;
    if (text[at] === '}') return isBlank(text, at + 1) ? members : undefined;
    if (text[at] !== ',') return undefined;
    at = skipBlank(text, at + 1);
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function skipBlank(text: string, from: number): number {
  let at = from;
  while (at < text.length && ' \t\n\r'.includes(text[at] ?? '')) at++;
  return at;
}

function isBlank(text: string, from: number): boolean {
  return skipBlank(text, from) === text.length;
}

/** Behind the closing quote of the string that begins here. */
function stringEnd(text: string, from: number): number | undefined {
  if (text[from] !== '"') return undefined;
  for (let at = from + 1; at < text.length; at++)
    if (text[at] === '\\') at++;
    else if (text[at] === '"') return at + 1;
  return undefined;
}

/** Where the comma or brace behind a value is. */
function valueEnd(text: string, from: number): number {
  let depth = 0;
  for (let at = from; at < text.length; at++) {
    const char = text[at] ?? '';
    if (char === '"') at = (stringEnd(text, at) ?? text.length) - 1;
    else if (depth === 0 && (char === ',' || char === '}')) return at;
    else if ('{['.includes(char)) depth++;
    else if ('}]'.includes(char)) depth--;
  }
  return text.length;
}
