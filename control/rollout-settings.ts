// What a team may say of a rollout: its steps, how long each bakes, how it goes back, who is told. The
// shape of `rollout` in a capability.
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { secret, text } from './schema-words.ts';

/** As fine as the control database keeps a share: a step that never arrives would be taken forever. */
const percent = z
  .number()
  .gt(0)
  .max(100)
  .refine(
    (share) => Number(share.toFixed(2)) === share,
    'is finer than 0.01: shares have two decimals at most',
  );

const webhook = z.strictObject({
  /** Tells it from the others, also after its URL has changed; by its URL where left out. */
  name: text.optional(),
  /** Where each event is posted to. */
  url: z.union([
    z.url({ protocol: /^https?$/, error: 'is not a URL of the form https://…' }),
    z.strictObject({ env: text }),
  ]),
  /** Signs each body (HMAC-SHA256); named here, never written. */
  secret,
});

/** Its URL may be a secret: it is known by a hash of it. */
export function webhookName({ name, url }: z.output<typeof webhook>): string {
  if (name !== undefined) return name;
  return typeof url === 'string'
    ? `url ${createHash('sha256').update(url).digest('hex').slice(0, 16)}`
    : `env ${url.env}`;
}

/** Under `rollout` of a capability in a definition. */
export const rollout = z
  .strictObject({
    /** Shares of the reads in `canary`, one after the other. */
    steps: z
      .array(percent)
      .min(1, 'name at least one share')
      .default([5, 25, 50, 100])
      .refine(
        (given) => given.every((one, at) => at === 0 || one > (given[at - 1] ?? 0)),
        'must rise from step to step',
      ),
    /** Where it ends. */
    to: z.enum(['canary', 'cutover']).default('cutover'),
    /** How long each step stays green before the next. */
    bakeMs: z.number().int().min(0).default(300_000),
    /** How long evidence may be missing before a human is called. */
    waitMs: z.number().int().min(0).default(1_800_000),
    rollback: z
      .strictObject({
        /** Shares by which reads go back when the monolith cannot take all of them at once; at once where empty. */
        steps: z
          .array(percent)
          .default([])
          .refine(
            (given) => given.every((one, at) => at === 0 || one < (given[at - 1] ?? 0)),
            'must fall from step to step',
          ),
        /** Time between two of them. */
        everyMs: z.number().int().min(0).default(60_000),
      })
      .prefault({}),
    webhooks: z
      .array(webhook)
      .default([])
      .refine(
        (given) => new Set(given.map(webhookName)).size === given.length,
        'has two webhooks of one name, or of one URL: give each a `name`',
      ),
  })
  .prefault({});

export type RolloutSettings = z.output<typeof rollout>;
