// Which settings a capability had: a fingerprint of all of them, the same for the same settings in whatever
// order their keys are written. A function counts by its source.
import { createHash } from 'node:crypto';
import type { Capability } from './definition.ts';

const DIGITS = 16;

export function definitionVersion(capability: Capability): string {
  return fingerprintOf(capability);
}

/** Of any settings. */
export function fingerprintOf(settings: unknown): string {
  const text = JSON.stringify(settings, (_key, value: unknown) => {
    if (typeof value === 'function') return Function.prototype.toString.call(value);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
  return createHash('sha256').update(text).digest('hex').slice(0, DIGITS);
}
