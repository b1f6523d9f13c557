// Puts a rollout's driver together from what a command has: the only place where control's driver and
// sync's verify meet.
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { Evidence } from '../control/evidence.ts';
import { rightsOf } from '../control/rights-look.ts';
import type { DriverOptions } from '../control/rollout-driver.ts';
import { RolloutStore } from '../control/rollout-store.ts';
import { StateStore } from '../control/store.ts';
import { WebhookSender, type Webhook } from '../control/webhooks.ts';
import type { Context } from './context.ts';
import { verifyCapability } from './verify.ts';

export interface Rollouts {
  readonly options: DriverOptions;
  readonly webhooks: WebhookSender;
}

export function rolloutsOf(context: Context, say?: (line: string) => void): Rollouts {
  const { migration, connections, db, log, who } = context;
  const coordinator = context.coordinator();
  const hooks = (capability: string): readonly Webhook[] =>
    connections.webhooks?.[capability] ?? [];
  return {
    options: {
      ...{ migration, log, who, say, coordinator },
      rights: rightsOf(coordinator),
      rollouts: new RolloutStore(db, (capability) => hooks(capability).map(({ name }) => name)),
      store: new StateStore(db),
      evidence: new Evidence(db),
      holder: `${hostname()} ${process.pid} ${randomUUID().slice(0, 8)}`,
      verify: (capability, signal) => verifyCapability(context, capability, { signal }),
    },
    webhooks: new WebhookSender({ db, hooks, log }),
  };
}
