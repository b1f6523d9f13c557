// Capabilities that are under way and that the definition does not name: renamed, most likely, and nobody
// runs their flows or looks after their fences.
import { StateStore } from '../control/store.ts';
import type { CapabilityState } from '../control/domain/state.ts';
import type { Context } from './context.ts';

export function describeUndefined({
  capability,
  phase,
}: Pick<CapabilityState, 'capability' | 'phase'>): string {
  return `capability "${capability}" is in ${phase}, and the definition does not name it: its flows do not run, and its fences stand. Was it renamed? Give it its old name back, bring it to the monolith (\`banyan rollback ${capability} --to monolith\`), and rename it then`;
}

export async function warnOfUndefined({
  db,
  migration,
  log,
}: Pick<Context, 'db' | 'migration' | 'log'>): Promise<void> {
  for (const { capability, phase } of await new StateStore(db).othersThan(
    Object.keys(migration.capabilities),
  ))
    log.warn(describeUndefined({ capability, phase }), { capability, phase });
}
