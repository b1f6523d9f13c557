// Lenses compiled to functions on PostgreSQL's text values. `get` takes the monolith's value to the
// service, `put` takes it back; put(get(x)) equals x for every value that get accepts. NULL stays
// NULL. A value without an image is a LensError: the flow stops rather than guess.
import { shiftDecimal } from '../../control/domain/decimal.ts';
import type { Lens, Reference } from '../../control/lenses.ts';
import type { Owner } from '../../control/domain/phase.ts';

export type TextMap = (value: string) => string;

export interface CompiledLens {
  readonly get: TextMap;
  readonly put: TextMap;
}

/** A value that the lens has no answer for. */
export class LensError extends Error {
  override readonly name = 'LensError';
}

/** A value that is in no row of its table of references, as that was when it was last read. */
export class UnknownReference extends LensError {}

/** What the tables of references say. */
export interface References {
  /** The other side's value for one of `side`'s. */
  find(reference: Reference, side: Owner, value: string): string | undefined;
}

export function compileLens(lens: Lens, references: References): CompiledLens {
  switch (lens.lens) {
    case 'rename':
      return { get: same, put: same };
    case 'scale': {
      const digits = Math.round(Math.log10(lens.factor));
      return {
        get: (value) => shiftDecimal(value, digits),
        put: (value) => shiftDecimal(value, -digits),
      };
    }
    case 'values': {
      const words = new Map(Object.entries(lens.values));
      const codes = new Map(Object.entries(lens.values).map(([code, word]) => [word, code]));
      return { get: lookUp(words), put: lookUp(codes) };
    }
    case 'lookup': {
      const from =
        (side: Owner): TextMap =>
        (value) => {
          const found = references.find(lens.in, side, value);
          if (found !== undefined) return found;
          throw new UnknownReference(
            `${JSON.stringify(value)} is not in ${lens.in.table}.${lens.in[side]}`,
          );
        };
      return { get: from('monolith'), put: from('service') };
    }
  }
}

function same(value: string): string {
  return value;
}

function lookUp(table: ReadonlyMap<string, string>): TextMap {
  return (value) => {
    const found = table.get(value);
    if (found === undefined)
      throw new LensError(
        `${JSON.stringify(value)} is not among ${[...table.keys()].map((key) => JSON.stringify(key)).join(', ')}`,
      );
    return found;
  };
}
