// What it means for a table that its mapping is another than the one it was copied by. Whoever owns can be
// asked again. But while the service owns, or both sides write, a column that is new to what moves has
// never been copied: what the service has in it is no truth, and must not be sent for one.
import type { Direction } from '../../control/domain/flow.ts';
import type { TableVersion } from '../../control/mapping-version.ts';
import type { Mode } from './mapping.ts';

export interface Remapped {
  readonly verdict: 'same' | 'copy again' | 'refused';
  /** To be noted: what the copy is by now, as far as this flow can make it so. */
  readonly version: TableVersion;
}

export function remapped(
  before: TableVersion | undefined,
  now: TableVersion,
  direction: Direction,
  mode: Mode,
): Remapped {
  if (!before) return { verdict: 'same', version: now };
  if (direction === 'to' && mode === 'owner')
    return { verdict: before.owner === now.owner ? 'same' : 'copy again', version: now };
  if (direction === 'to' && mode === 'guest')
    return {
      verdict: before.guest === now.guest ? 'same' : 'copy again',
      // What else is new is copied when the monolith owns again.
      version: { ...before, guest: now.guest },
    };
  // It sends nothing but heartbeats: what came new is copied by the other flow.
  if (mode === 'guest') return { verdict: 'same', version: now };
  if (before.moved !== now.moved) return { verdict: 'refused', version: before };
  return { verdict: 'same', version: before };
}
