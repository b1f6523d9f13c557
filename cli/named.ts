// Which capabilities a command is about.
import { BanyanError } from '../core/errors.ts';
import type { Loaded } from './context.ts';

/** The one that is named, or all of them. Throws UNKNOWN_CAPABILITY. */
export function named({ migration }: Pick<Loaded, 'migration'>, only?: string): string[] {
  const known = Object.keys(migration.capabilities);
  if (only === undefined) return known;
  if (known.includes(only)) return [only];
  throw new BanyanError('UNKNOWN_CAPABILITY', `there is no capability "${only}"`, {
    hint: `The definition names: ${known.join(', ')}.`,
  });
}
