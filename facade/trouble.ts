// Says in the log that an upstream fails, without drowning the log while it does: one line a second
// and path at most, with the number of failures since the last.
import type { Logger } from '../core/log.ts';
import type { Path } from './request-figures.ts';

export type TroubleLog = (path: Path, error: Error) => void;

const QUIET_MS = 1_000;

export function troubleLog(log: Pick<Logger, 'warn'>): TroubleLog {
  const byPath = new Map<Path, { since: number; count: number }>();
  return (path, error) => {
    const known = byPath.get(path) ?? { since: -Infinity, count: 0 };
    known.count += 1;
    byPath.set(path, known);
    const now = performance.now();
    if (now - known.since < QUIET_MS) return;
    log.warn('requests to an upstream fail', {
      path,
      failures: known.count,
      // One of several addresses says nothing itself.
      error: error.message === '' ? error.name : error.message,
      code: (error as NodeJS.ErrnoException).code,
    });
    byPath.set(path, { since: now, count: 0 });
  };
}
