// Small shapes that several parts of a definition share.
import { z } from 'zod';

export const text = z.string().min(1);
/** 0 to 1. */
export const share = z.number().min(0).max(1);

/** Secrets are named in a definition, never written. */
export const secret = z.union(
  [z.strictObject({ env: text }), z.strictObject({ file: text })],
  "names where the secret stands: env('NAME') or { file: '/path' }; it is never written here",
);

export type SecretReference = z.output<typeof secret>;
