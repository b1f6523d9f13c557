// Measures the event loop: how much later than planned a timer fires. What follows from it is
// domain/overload.ts.
import { isShed, measured, UNLOADED, type Level, type Load } from './domain/overload.ts';
import type { Priority } from './domain/routes.ts';

export interface Overload {
  readonly level: () => Level;
  /** Whether a request of this priority is refused now. */
  readonly sheds: (priority: Priority) => boolean;
  readonly stop: () => void;
}

const EVERY_MS = 25;

/** Watches until `stop`; `limitMs` undefined sheds nothing. */
export function watchOverload(limitMs: number | undefined): Overload {
  if (limitMs === undefined) return { level: () => 0, sheds: () => false, stop: () => undefined };
  let load: Load = UNLOADED;
  let due = performance.now() + EVERY_MS;
  const timer = setInterval(() => {
    const now = performance.now();
    load = measured(load, Math.max(0, now - due), now, limitMs);
    due = now + EVERY_MS;
  }, EVERY_MS);
  timer.unref();
  return {
    level: () => load.level,
    sheds: (priority) => load.level >= 2 && isShed(load.level, priority),
    stop: () => {
      clearInterval(timer);
    },
  };
}
