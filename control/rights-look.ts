// What is lacking at the monolith to go back to it, as looks at a capability ask for it: a rollout's come
// each second, and each answer takes connections of its own. So it is kept for a while, and asked for anew
// beside the looks: a database that does not answer keeps none of them waiting.
import { messageOf } from '../core/errors.ts';
import type { Coordinator } from './coordinator.ts';
import type { Rights } from './rollout-look.ts';
import type { RightsFound } from './way-back.ts';

const KEPT_MS = 10_000;

interface Kept {
  readonly found: RightsFound;
  until: number;
}

export function rightsOf(coordinator: Pick<Coordinator, 'missingRights'>): Rights {
  const kept = new Map<string, Kept>();
  const ask = async (capability: string): Promise<RightsFound> => {
    const found = await coordinator.missingRights(capability).catch(messageOf);
    kept.set(capability, { found, until: performance.now() + KEPT_MS });
    return found;
  };
  return async (capability) => {
    const last = kept.get(capability);
    if (!last) return ask(capability);
    if (performance.now() > last.until) {
      last.until = Infinity;
      void ask(capability);
    }
    return last.found;
  };
}
