// Remembers what a pure function has said of short texts, for functions that are asked about the same
// few again and again: names of fields, hosts, addresses. Bounded, whatever it is asked about.

/** As many are kept; a flood of others starts it anew. */
const MOST_KEPT = 1_024;
/** Longer texts are not kept: somebody else may choose them. */
const LONGEST = 64;

/** The same function, with a memory. `of` never says undefined. */
export function remembered<Said extends string | boolean>(
  of: (text: string) => Said,
): (text: string) => Said {
  const known = new Map<string, Said>();
  return (text) => {
    const found = known.get(text);
    if (found !== undefined) return found;
    const said = of(text);
    if (text.length > LONGEST) return said;
    if (known.size >= MOST_KEPT) known.clear();
    known.set(text, said);
    return said;
  };
}
