// What tests of mappings ask of a pair: both sides' views, what verify finds, what is parked.
import { waitFor } from '../../core/lifecycle.ts';
import { listLetters, type Appliers, type LetterLine } from '../../sync/letter-box.ts';
import { verify } from '../../sync/verify.ts';
import type { Pair } from './pair.ts';
import type { Views } from './sync.ts';

export const CLEAN = { missing: 0, extra: 0, different: 0, unsettled: 0 };

/** Both sides by a query each, which must answer alike when the sync is complete. */
export function viewsOf(pair: Pair, monolith: string, service: string): Views {
  return async () => ({
    monolith: (await pair.monolith.query<object>(monolith)).rows,
    service: (await pair.service.query<object>(service)).rows,
  });
}

export async function verified(pair: Pair): Promise<typeof CLEAN> {
  const capability = pair.migration.capabilities['catalog'];
  const monolith = pair.connections.monolith.database;
  const service = pair.connections.services['catalog']?.database;
  if (!capability || !monolith || !service) throw new Error('no capability');
  const found = await verify({ id: 'catalog', capability, monolith, service, chunkRows: 3 });
  const { missing, extra, different, unsettled } = found;
  return { missing, extra, different, unsettled };
}

export function appliersOf(pair: Pair): Appliers {
  return {
    to: pair.connections.services['catalog']?.database?.applier ?? '',
    back: pair.connections.monolith.database?.applier ?? '',
  };
}

/** Waits until as many changes are parked. */
export async function letters(pair: Pair, count: number): Promise<LetterLine[]> {
  return waitFor(
    async () => {
      const found = await listLetters('catalog', appliersOf(pair));
      return found.length === count ? found : undefined;
    },
    { timeoutMs: 60_000, what: `${count} changes to be parked` },
  );
}
