// Measures the event loop: how much later than planned a timer fires. What follows from it is
// domain/overload.ts. That requests are refused for it is said in the log, once a second at most.
import type { Logger } from '../core/log.ts';
import { isShed, measured, UNLOADED, type Level, type Load } from './domain/overload.ts';
import type { Priority } from './domain/routes.ts';

export interface Overload {
  readonly level: () => Level;
  /** Whether a request of this priority is refused now. */
  readonly sheds: (priority: Priority) => boolean;
  readonly stop: () => void;
}

const EVERY_MS = 25;
const QUIET_MS = 1_000;

/** Watches until `stop`; `limitMs` undefined sheds nothing. */
export function watchOverload(limitMs: number | undefined, log: Pick<Logger, 'warn'>): Overload {
  if (limitMs === undefined) return { level: () => 0, sheds: () => false, stop: () => undefined };
  let load: Load = UNLOADED;
  let due = performance.now() + EVERY_MS;
  let refused = 0;
  let toldAt = -Infinity;
  const tell = (now: number): void => {
    if (refused === 0) return;
    log.warn('overloaded: requests are refused with 503', {
      ...{ refused, level: load.level, limitMs },
      delayMs: Math.round(Math.min(...load.delaysMs)),
      hint: 'the event loop does not keep up: give the edge more processors (`--workers`), or set facade.shedding',
    });
    refused = 0;
    toldAt = now;
  };
  const timer = setInterval(() => {
    const now = performance.now();
    load = measured(load, Math.max(0, now - due), now, limitMs);
    due = now + EVERY_MS;
    if (now - toldAt >= QUIET_MS) tell(now);
  }, EVERY_MS);
  timer.unref();
  return {
    level: () => load.level,
    sheds: (priority) => {
      const sheds = load.level >= 2 && isShed(load.level, priority);
      if (sheds) refused += 1;
      return sheds;
    },
    stop: () => {
      clearInterval(timer);
      tell(performance.now());
    },
  };
}
