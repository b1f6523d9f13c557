// What shadow traffic told: counts by route, and a group of differences with an example each. Facades add,
// gates read. Counts carry the version of the state that their copies began under, so that none of an
// earlier shadow phase counts for a later one.
import type { Knex } from 'knex';

/** What one facade counted on one route since it last reported. */
export interface ShadowCounts {
  readonly capability: string;
  readonly route: string;
  /** Of the capability's state when the copies began. */
  readonly version: number;
  readonly compared: number;
  readonly mismatched: number;
  readonly dropped: number;
  /** Of the dropped: a difference was seen, and neither proven nor excused. */
  readonly undecided: number;
  /** Kinds of differences, summed over the answers, that the control's own noise excused. */
  readonly noise: number;
}

/** A difference between control and candidate: grouped by route and JSON path, one example each. */
export interface ShadowMismatch {
  readonly capability: string;
  readonly route: string;
  /** Of the capability's state when the copies began. */
  readonly version: number;
  /** `status`, `header content-type` or a JSON path such as `items.*.price`. */
  readonly path: string;
  readonly count: number;
  readonly example: {
    readonly url: string;
    readonly control: unknown;
    readonly candidate: unknown;
  };
}

/** Counts and mismatches as they have been added up, over all facades of the phase. */
export type ShadowSample = Omit<ShadowCounts, 'version'>;
export type ShadowGroup = Omit<ShadowMismatch, 'version'>;

/** Adds counts; those of a shadow phase before the present one are left out. */
export async function addShadow(
  control: Knex,
  counts: readonly ShadowCounts[],
  mismatches: readonly ShadowMismatch[],
): Promise<void> {
  await control.transaction(async (db) => {
    // The lock keeps a phase from beginning between this look and our commit.
    const since = new Map(
      (
        await db<{ capability: string; version: string }>('banyan.shadow_since')
          .whereIn('capability', [...new Set(counts.map((one) => one.capability))])
          .orderBy('capability')
          .forShare()
      ).map((row) => [row.capability, Number(row.version)]),
    );
    const counting = (one: ShadowCounts | ShadowMismatch): boolean =>
      one.version >= (since.get(one.capability) ?? 0);
    for (const one of counts.filter(counting))
      await db.raw(
        `INSERT INTO banyan.shadow_sample AS s (capability, route, compared, mismatched, dropped, undecided, noise)
         VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (capability, route) DO UPDATE SET
           compared = s.compared + excluded.compared, mismatched = s.mismatched + excluded.mismatched,
           dropped = s.dropped + excluded.dropped, undecided = s.undecided + excluded.undecided, noise = s.noise + excluded.noise`,
        [
          ...[one.capability, one.route, one.compared, one.mismatched],
          ...[one.dropped, one.undecided, one.noise],
        ],
      );
    for (const one of mismatches.filter(counting))
      await db.raw(
        `INSERT INTO banyan.shadow_mismatch AS m (capability, route, path, count, example)
         VALUES (?, ?, ?, ?, ?) ON CONFLICT (capability, route, path) DO UPDATE SET
           count = m.count + excluded.count, example = excluded.example`,
        [one.capability, one.route, one.path, one.count, JSON.stringify(one.example)],
      );
  });
}

export async function shadow(
  db: Knex,
  capability: string,
): Promise<{ samples: ShadowSample[]; mismatches: ShadowGroup[] }> {
  const samples = await db<Record<keyof ShadowSample, string>>('banyan.shadow_sample')
    .where({ capability })
    .orderBy('route');
  const mismatches = await db<Omit<ShadowGroup, 'count'> & { count: string }>(
    'banyan.shadow_mismatch',
  )
    .where({ capability })
    .orderBy(['route', 'path']);
  return {
    samples: samples.map((row) => ({
      capability: row.capability,
      route: row.route,
      compared: Number(row.compared),
      mismatched: Number(row.mismatched),
      dropped: Number(row.dropped),
      undecided: Number(row.undecided),
      noise: Number(row.noise),
    })),
    mismatches: mismatches.map((row) => ({ ...row, count: Number(row.count) })),
  };
}

/**
 * Forgets what shadow traffic told: evidence counts from the moment the phase began, which is that
 * of the state's `version`; counts of an older one are refused from now on.
 */
export async function clearShadow(
  control: Knex,
  capability: string,
  version: number,
): Promise<void> {
  await control.transaction(async (db) => {
    await db('banyan.shadow_since')
      .insert({ capability, version })
      .onConflict('capability')
      .merge();
    await db('banyan.shadow_sample').where({ capability }).delete();
    await db('banyan.shadow_mismatch').where({ capability }).delete();
  });
}
