// Small shapes that several parts of a definition share.
import { z } from 'zod';

export const text = z.string().min(1);
/** Milliseconds that a timer can wait: beyond them it would not wait at all. */
export const wait = z
  .number()
  .int()
  .positive()
  .max(2_147_483_647, 'is more than a timer can wait (2147483647, some 24 days)');
/** 0 to 1. */
export const share = z.number().min(0).max(1);

/** Secrets are named in a definition, never written. */
export const secret = z.union(
  [z.strictObject({ env: text }), z.strictObject({ file: text })],
  "names where the secret stands: env('NAME') or { file: '/path' }; it is never written here",
);

export type SecretReference = z.output<typeof secret>;
