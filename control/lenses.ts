// The words a mapping is written in. A lens takes one column of the monolith to one column of the
// service; its inverse is derived, never written down. These are plain data: sync compiles them.

export type Lens =
  | { readonly lens: 'rename'; readonly to: string }
  | { readonly lens: 'scale'; readonly to: string; readonly factor: number }
  | {
      readonly lens: 'values';
      readonly to: string;
      readonly values: Readonly<Record<string, string>>;
    };

/** The same value under another name. A bare string in a mapping means the same. */
export function rename(to: string): Lens {
  return { lens: 'rename', to };
}

/**
 * `service = monolith × factor`, exact decimal arithmetic: `scale('price_cents', 100)` takes
 * `12.50` to `1250` and back. `factor` is a power of ten (0.001, 100, …).
 */
export function scale(to: string, factor: number): Lens {
  return { lens: 'scale', to, factor };
}

/**
 * Codes to words: `values('state', { A: 'active', D: 'discontinued' })`. A value that the table
 * does not name stops the flow; two codes with the same word cannot be inverted and are refused.
 */
export function values(to: string, table: Readonly<Record<string, string>>): Lens {
  return { lens: 'values', to, values: table };
}
