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
  tidyDeliveries,
  undelivered,
  type Delivery,
} from './webhook-queue.ts';

/** A webhook with its references resolved. */
export interface Webhook {
  /** Under which its deliveries are kept; it stays when the definition names others beside it. */
  readonly name: string;
  readonly url: string;
  readonly secret: () => string;
}

export interface WebhookOptions {
  readonly db: Knex;
  readonly hooks: (capability: string) => readonly Webhook[];
  readonly log: Pick<Logger, 'warn'>;
  /** How long a webhook may take to answer. */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 5_000;
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 600_000;
/** With these pauses, a good day. */
const MOST_ATTEMPTS = 150;
const LOOK_MS = 500;
const TIDY_MS = 3_600_000;

export class WebhookSender {
  readonly #options: WebhookOptions;

  constructor(options: WebhookOptions) {
    this.#options = options;
  }

  /** Delivers what is due for a capability, until the signal aborts: one that is dead keeps only its own waiting. */
  async run(capability: string, signal: AbortSignal): Promise<void> {
    const { hooks, log } = this.#options;
    const again = async (work: () => Promise<void>, everyMs: number): Promise<void> => {
      while (!signal.aborted) {
        await work().catch((error: unknown) => {
          log.warn('webhooks could not be looked after', { error: messageOf(error) });
        });
        await sleep(everyMs, signal);
      }
    };
    await Promise.all([
      again(() => this.tidy(capability), TIDY_MS),
      ...hooks(capability).map((hook) =>
        again(() => this.deliver(capability, hook, signal), LOOK_MS),
      ),
    ]);
  }

  /** Gives what is due now its chance, for so long at most: the last word of a process that ends. */
  async flush(capability: string, timeoutMs: number): Promise<void> {
    const { db, hooks } = this.#options;
    const over = AbortSignal.timeout(timeoutMs);
    await Promise.all(
      hooks(capability).map(async (hook) => {
        while (!over.aborted && (await outstanding(db, capability, hook.name)).waiting > 0) {
          await this.deliver(capability, hook, over);
          await sleep(100, over);
        }
      }),
    );
  }

  /** What is due to a webhook now. */
  async deliver(capability: string, hook: Webhook, signal: AbortSignal): Promise<void> {
    for (const one of await claimDeliveries(this.#options.db, capability, hook.name)) {
      // What is not told now is due again when the claim has lapsed.
      if (signal.aborted) return;
      await this.#post(hook, one, signal);
    }
  }

  /** What nobody will be told any more is not waited for, and what was told long ago not kept. */
  tidy(capability: string): Promise<void> {
    const { db, hooks } = this.#options;
    return tidyDeliveries(
      db,
      capability,
      hooks(capability).map(({ name }) => name),
    );
  }

  async #post(hook: Webhook, one: Delivery, signal: AbortSignal): Promise<void> {
    const { db, log, timeoutMs = TIMEOUT_MS } = this.#options;
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
        signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
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
