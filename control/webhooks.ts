// Tells webhooks of a rollout's events. At least once each, in the order of the journal as long as none
// fails; repeated with growing pauses, and given up after a day. Nothing waits for it: a rollback goes its way
// whether anybody can be told or not.
//
// Signed like this: `banyan-signature: t=<seconds>,v1=<hex of HMAC-SHA256 over "<t>.<body>">`, so that a
// receiver knows who speaks, and that it is not an old message played again. `banyan-delivery` names
// the event: a repetition has the same one.
import { createHmac } from 'node:crypto';
import type { Knex } from 'knex';
import { messageOf } from '../core/errors.ts';
import { sleep } from '../core/lifecycle.ts';
import type { Logger } from '../core/log.ts';
import {
  claimDeliveries,
  delivered,
  outstanding,
  undelivered,
  type Delivery,
} from './webhook-queue.ts';

/** A webhook with its references resolved. */
export interface Webhook {
  readonly url: string;
  readonly secret: () => string;
}

export interface WebhookOptions {
  readonly db: Knex;
  readonly hooks: (capability: string) => readonly Webhook[];
  readonly log: Pick<Logger, 'warn'>;
}

const TIMEOUT_MS = 5_000;
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 600_000;
/** With these pauses, a good day. */
const MOST_ATTEMPTS = 150;
const LOOK_MS = 500;

export class WebhookSender {
  readonly #options: WebhookOptions;

  constructor(options: WebhookOptions) {
    this.#options = options;
  }

  /** Delivers what is due for a capability, until the signal aborts. */
  async run(capability: string, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.deliver(capability, signal).catch((error: unknown) => {
        this.#options.log.warn('webhooks could not be looked after', { error: messageOf(error) });
      });
      await sleep(LOOK_MS, signal);
    }
  }

  /** Gives what is due now its chance, for so long at most: the last word of a process that ends. */
  async flush(capability: string, timeoutMs: number): Promise<void> {
    const { db, hooks } = this.#options;
    if (hooks(capability).length === 0) return;
    const over = AbortSignal.timeout(timeoutMs);
    while (!over.aborted && (await outstanding(db, capability)).waiting > 0) {
      await this.deliver(capability, over);
      await sleep(100, over);
    }
  }

  async deliver(capability: string, signal: AbortSignal): Promise<void> {
    const { db, hooks } = this.#options;
    const known = hooks(capability);
    if (known.length === 0) return;
    const due = await claimDeliveries(db, capability);
    // One that does not answer keeps only its own waiting.
    await Promise.all(
      known.map(async (hook, at) => {
        for (const one of due.filter((given) => given.hook === at))
          await this.#post(hook, one, signal);
      }),
    );
  }

  async #post(hook: Webhook, one: Delivery, signal: AbortSignal): Promise<void> {
    const { db, log } = this.#options;
    try {
      const answer = await fetch(hook.url, {
        method: 'POST',
        body: one.body,
        headers: {
          'content-type': 'application/json',
          'banyan-delivery': one.id,
          'banyan-signature': signatureOf(one.body, hook.secret(), Math.floor(Date.now() / 1_000)),
        },
        // A redirect could lead anywhere.
        redirect: 'error',
        signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
      });
      await answer.body?.cancel();
      if (!answer.ok) throw new Error(`answered ${answer.status}`);
      await delivered(db, one);
    } catch (error) {
      const attempts = one.attempts + 1;
      const why = withoutAddress(messageOf(error), hook.url);
      log.warn('a webhook was not delivered', { event: one.id, attempts, error: why });
      await undelivered(db, one, why, attempts >= MOST_ATTEMPTS ? undefined : pauseMs(attempts));
    }
  }
}

/** `t=…,v1=…` of a body. */
export function signatureOf(body: string, secret: string, seconds: number): string {
  const mac = createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex');
  return `t=${seconds},v1=${mac}`;
}

/** The address of a webhook may be its secret: of it only the host is told. */
function withoutAddress(message: string, url: string): string {
  return message.replaceAll(url, URL.parse(url)?.host ?? 'the webhook');
}

function pauseMs(attempts: number): number {
  return Math.min(FIRST_PAUSE_MS * 2 ** (attempts - 1), LONGEST_PAUSE_MS);
}
