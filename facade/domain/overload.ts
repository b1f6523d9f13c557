// How loaded an event loop is, by the delay that stands: the smallest of the last few measurements,
// so that one long pause (a garbage collection) means nothing (the idea of CoDel). What is given up,
// step by step: shadow copies, then requests of low priority, then normal ones; high ones never.
// A step up is taken at once, a step down only after a calm second, so that the edge does not swing.
import type { Priority } from './routes.ts';

/** 0: nothing is shed, 1: copies, 2: low priority too, 3: normal priority too. */
export type Level = 0 | 1 | 2 | 3;

export interface Load {
  readonly level: Level;
  /** The last measurements, newest last. */
  readonly delaysMs: readonly number[];
  /** Since when the delay has been below the level's limit. */
  readonly calmSinceMs: number | undefined;
}

export const UNLOADED: Load = { level: 0, delaysMs: [], calmSinceMs: undefined };

const MEASUREMENTS = 4;
const CALM_MS = 1_000;
/** Multiples of the limit at which the levels begin. */
const STEPS = [1, 2, 5] as const;

/** Takes a measurement in; `limitMs` is the standing delay at which shedding begins. */
export function measured(load: Load, delayMs: number, nowMs: number, limitMs: number): Load {
  const delaysMs = [...load.delaysMs, delayMs].slice(-MEASUREMENTS);
  const standing = delaysMs.length < MEASUREMENTS ? 0 : Math.min(...delaysMs);
  const due = STEPS.filter((step) => standing >= step * limitMs).length as Level;
  if (due >= load.level) return { level: due, delaysMs, calmSinceMs: undefined };
  const calmSinceMs = load.calmSinceMs ?? nowMs;
  if (nowMs - calmSinceMs < CALM_MS) return { ...load, delaysMs, calmSinceMs };
  return { level: (load.level - 1) as Level, delaysMs, calmSinceMs: nowMs };
}

/** Whether a request of this priority is refused. */
export function isShed(level: Level, priority: Priority): boolean {
  switch (priority) {
    case 'low':
      return level >= 2;
    case 'normal':
      return level >= 3;
    case 'high':
      return false;
  }
}
