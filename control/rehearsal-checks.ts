// What refuses a rehearsal before anybody is held.
import { BanyanError } from '../core/errors.ts';
import type { CapabilityState } from './domain/state.ts';
import type { FlowPair } from './ends.ts';
import type { Evidence } from './evidence.ts';
import type { FlowEnds } from './replication.ts';

const BLOCKER_AGE_MS = 2_000;
/** As for gates: sync publishes four reports a second. */
const SILENT_MS = 10_000;

/** Throws USAGE when facades would refuse the writes that they hold for so long. */
export function assertWindow(windowMs: number, holdTimeoutMs: number): void {
  const longest = holdTimeoutMs / 2;
  if (windowMs <= longest) return;
  throw new BanyanError('USAGE', `a hold of ${windowMs} ms keeps writers waiting for too long`, {
    hint: `At most ${longest} ms, half of facade.hold.timeoutMs. Several rehearsals add up: --watch.`,
  });
}

/** What would refuse the switch at once, before anybody is held. */
export async function assertReady(
  { evidence, ends }: { readonly evidence: Evidence; readonly ends: FlowPair | undefined },
  { capability, phase }: CapabilityState,
  flow: FlowEnds | undefined,
): Promise<void> {
  if (phase === 'monolith' || phase === 'retired')
    throw new BanyanError(
      'MOVE_NOT_ALLOWED',
      `capability "${capability}" is in ${phase}: there is no switch to rehearse`,
      { hint: 'Advance it to sync first; from then until it retires a switch can be rehearsed.' },
    );
  if (!ends || !flow) return;
  for (const side of [ends.to.source, ends.to.target]) await side.assertOneWriter();
  const line = (await evidence.flows(capability)).find((one) => one.direction === flow.direction);
  if (line?.status !== 'streaming' || line.reportAgeMs > SILENT_MS)
    throw new BanyanError(
      'GATE_REFUSED',
      `flow ${flow.names.flow} does not stream: ${line?.error ?? line?.status ?? 'it has not reported'}`,
      {
        hint: 'Nothing would drain. Is `banyan sync` running? `banyan status` shows how far it is.',
      },
    );
  const sides = [flow.source, flow.target];
  const found = await Promise.all(sides.map((side) => side.blockers(BLOCKER_AGE_MS)));
  const blockers = found.flat();
  if (blockers.length > 0)
    throw new BanyanError(
      'GATE_REFUSED',
      `open transactions would block the fence: ${blockers.join('; ')}`,
      { hint: 'End them, or wait until they are done, and try again.' },
    );
}
