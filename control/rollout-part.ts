// Beside sync: takes up rollouts whose driver is not heard of, watches those that wait for a human (red
// still leads back), tells webhooks what is yet to be told, and forgets what nobody asks for. Never in a facade.
import { messageOf } from '../core/errors.ts';
import { sleep, type Part } from '../core/lifecycle.ts';
import { RolloutDriver, type DriverOptions } from './rollout-driver.ts';
import type { WebhookSender } from './webhooks.ts';

const LOOK_MS = 2_000;
const FORGET_MS = 3_600_000;

export interface RolloutPartOptions extends DriverOptions {
  readonly capabilities: readonly string[];
  readonly webhooks: WebhookSender;
}

export function rolloutPart({ capabilities, webhooks, ...options }: RolloutPartOptions): Part {
  const drive = async (capability: string, signal: AbortSignal): Promise<void> => {
    const driver = new RolloutDriver(options);
    while (!signal.aborted) {
      await driver.run(capability, signal, true).catch((error: unknown) => {
        options.log.error('a rollout could not be looked after', {
          capability,
          error: messageOf(error),
        });
      });
      await sleep(LOOK_MS, signal);
    }
  };
  const forget = async (capability: string, signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      await options.evidence.pruneAnswers(capability).catch((error: unknown) => {
        options.log.warn('old answers could not be forgotten', {
          capability,
          error: messageOf(error),
        });
      });
      await sleep(FORGET_MS, signal);
    }
  };
  return {
    name: 'rollouts',
    run: async (signal, ready) => {
      ready();
      await Promise.all(
        capabilities.flatMap((one) => [
          ...[drive(one, signal), webhooks.run(one, signal), forget(one, signal)],
        ]),
      );
    },
  };
}
