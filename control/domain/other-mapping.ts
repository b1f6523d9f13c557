// Whether evidence, or a flow, is known to be of another mapping than the definition's present one, by
// their fingerprints. What was not noted, by an older version, is not known to be.

export interface OfMapping {
  readonly mapping?: string | null | undefined;
}

export function isOfAnother(mapping: string | undefined, { mapping: by }: OfMapping): boolean {
  return mapping !== undefined && typeof by === 'string' && by !== mapping;
}
