// `banyan status`: where every capability is, how its flows do, what the last verify said.
import type { Command } from 'commander';
import { isOfAnother } from '../control/domain/other-mapping.ts';
import { ownerOf } from '../control/domain/phase.ts';
import { Evidence } from '../control/evidence.ts';
import type { FlowLine } from '../control/flow-reports.ts';
import { mappingVersion } from '../control/mapping-version.ts';
import { RelayReports } from '../control/relay-reports.ts';
import { StateStore } from '../control/store.ts';
import { openContext, type Context, type GlobalOptions } from './context.ts';
import { named } from './named.ts';
import { answer, table } from './output.ts';
import { describeUndefined } from './undefined-capabilities.ts';
import { describeRelays } from './relay-lines.ts';

export function statusCommand(program: Command): void {
  program
    .command('status [capability]')
    .description('show phases, flows and evidence')
    .action(async (only: string | undefined, _flags: unknown, command: Command) => {
      const globals = command.optsWithGlobals<GlobalOptions>();
      const context = await openContext(globals);
      try {
        const evidence = new Evidence(context.db);
        const store = new StateStore(context.db);
        const states = await store.read(named(context, only));
        const others = only === undefined ? await store.othersThan([...states.keys()]) : [];
        const lines = await Promise.all(
          [...states.values(), ...others].map(async (state) => ({
            ...state,
            defined: states.has(state.capability),
            owner: ownerOf(state.phase),
            flows: await evidence.flows(state.capability),
            shadow: (await evidence.shadow(state.capability)).mismatches,
            verify: (await evidence.lastVerify(state.capability)) ?? null,
          })),
        );
        const rows = lines.map((line) => [
          line.capability,
          line.phase === 'canary'
            ? `canary ${line.weight} %${line.shared ? ', writes too' : ''}`
            : line.phase,
          line.holding ? `${line.owner} (writes held)` : line.owner,
          line.flows.map(flow).join(', ') || '-',
          line.verify === null
            ? 'never'
            : `${line.verify.missing + line.verify.extra + line.verify.different} wrong of ${line.verify.rows}, ${age(line.verify.ageMs)} ago${ofNow(context, line.capability, line.verify.mapping)}`,
        ]);
        const errors = lines.flatMap((line) =>
          line.flows
            .filter((one) => one.error !== null)
            .map(
              (one) =>
                `${line.capability} sync ${one.direction}: [${one.errorCode ?? ''}] ${one.error ?? ''}`,
            ),
        );
        answer(
          globals.json,
          lines,
          [
            table([['capability', 'phase', 'owner', 'flows', 'verify'], ...rows]),
            ...errors,
            ...others.map(describeUndefined),
            ...describeRelays(await new RelayReports(context.db).lines()),
          ].join('\n'),
        );
      } finally {
        await context.close();
      }
    });
}

/** Says so where it is the verification of another mapping. */
function ofNow(
  { migration }: Pick<Context, 'migration'>,
  capability: string,
  mapping: string | undefined,
): string {
  const definition = migration.capabilities[capability];
  return isOfAnother(definition && mappingVersion(definition.tables), { mapping })
    ? ', by another mapping than now'
    : '';
}

function flow(line: FlowLine): string {
  const copied =
    line.status === 'backfill' || line.status === 'copy paused' || line.status === 'copy waits'
      ? ` ${(line.backfill ?? []).reduce((sum, one) => sum + one.rows, 0)} rows`
      : '';
  const behind = line.watermarkAgeMs === null ? '' : ` ${age(line.watermarkAgeMs)} behind`;
  return `${line.direction} ${line.status}${copied}${behind}`;
}

function age(ms: number): string {
  return ms < 1_000
    ? `${Math.round(ms)} ms`
    : ms < 120_000
      ? `${(ms / 1_000).toFixed(1)} s`
      : `${Math.round(ms / 60_000)} min`;
}
