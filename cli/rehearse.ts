// `banyan rehearse`: how long a switch would keep writers waiting, and who writes beside the facade.
import { setTimeout as delay } from 'node:timers/promises';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { isBanyanError, type BanyanError, type ErrorCode } from '../core/errors.ts';
import { addUp, type Rehearsal, type RehearsalSum } from '../control/domain/rehearsal.ts';
import { openContext, type GlobalOptions } from './context.ts';
import { answer, span, table } from './output.ts';

interface Flags {
  readonly hold: number;
  readonly watch: number;
  readonly every: number;
  readonly why: string;
}

/** A round that did not come to its end, among others. */
interface FailedRound {
  readonly at: string;
  readonly code: ErrorCode;
  readonly error: string;
}

export function rehearseCommand(program: Command): void {
  program
    .command('rehearse <capability>')
    .description('measure the pause of a switch, and name who writes beside the facade')
    .addOption(
      new Option('--hold <duration>', 'hold writers at least this long: more is seen')
        .argParser(duration)
        .default(0, 'the pause alone'),
    )
    .addOption(
      new Option('--watch <duration>', 'rehearse again and again for this long, and add up')
        .argParser(duration)
        .default(0, 'once'),
    )
    .addOption(
      new Option('--every <duration>', 'with --watch, from one rehearsal to the next')
        .argParser(duration)
        .default(10_000, '10s'),
    )
    .option('--why <text>', 'for the journal', '')
    .action(async (capability: string, flags: Flags, command: Command) => {
      const globals = command.optsWithGlobals<GlobalOptions>();
      const context = await openContext(globals);
      const stop = new AbortController();
      // The one under way ends first: its hold is released, and what has been seen is told.
      const onSignal = (): void => {
        stop.abort();
      };
      process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
      try {
        const rounds: Rehearsal[] = [];
        const failed: FailedRound[] = [];
        let first: BanyanError | undefined;
        const until = performance.now() + flags.watch;
        do {
          const next = performance.now() + flags.every;
          try {
            rounds.push(await context.coordinator().rehearse(capability, flags.hold, flags.why));
          } catch (error) {
            // What stood in the way of one may be over by the next; what the others have seen is told.
            if (flags.watch === 0 || !isBanyanError(error)) throw error;
            failed.push({ at: new Date().toISOString(), code: error.code, error: error.message });
            first ??= error;
            if (!error.retryable) break;
          }
          if (next > until) break;
          await delay(Math.max(0, next - performance.now()), undefined, {
            signal: stop.signal,
          }).catch(() => undefined);
        } while (!stop.signal.aborted);
        if (rounds.length === 0 && first) throw first;
        const sum = addUp(rounds);
        const lost = failed.map(({ at, error }) => `not rehearsed at ${at}: ${error}`);
        answer(globals.json, { capability, ...sum, failed }, [describe(sum), ...lost].join('\n'));
      } finally {
        process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
        await context.close();
      }
    });
}

function describe({ rounds, pauseMs, watchedMs, bypasses }: RehearsalSum): string {
  const last = rounds.at(-1);
  const pauses = table([
    ['at', 'pause', 'hold', 'locks', 'drain', 'tries', 'replicas'],
    ...rounds.map((one) => [
      one.at,
      span(one.pauseMs),
      span(one.holdMs),
      span(one.lockMs),
      span(one.drainMs),
      `${one.attempts}`,
      one.replicas.map((all) => `${all.replica} ${span(all.acknowledgedMs)}`).join(', ') || 'none',
    ]),
  ]);
  const writers =
    bypasses.length === 0
      ? `Nobody changed what moves beside the facade, watched for ${span(watchedMs)}.`
      : [
          `Beside the facade, watched for ${span(watchedMs)}; a switch would refuse them:`,
          table([
            ['login', 'application', 'from', 'table', 'operation', 'transactions', 'pids'],
            ...bypasses.map((one) => [
              one.login,
              one.application || '-',
              one.address ?? 'local',
              one.table,
              one.operation,
              `${one.transactions}`,
              one.pids.join(' '),
            ]),
          ]),
        ].join('\n');
  const unheard = last?.unheard ?? [];
  return [
    `${last?.capability ?? ''} in ${last?.phase ?? ''}: writers of the ${last?.owner ?? ''} would wait for ${span(pauseMs.median)} (longest ${span(pauseMs.longest)}), and for the flip.`,
    pauses,
    writers,
    ...(unheard.length > 0
      ? [
          `Not heard of, and not signed off: ${unheard.join(', ')}. If one still runs, its writes are among them.`,
        ]
      : []),
  ].join('\n');
}

/** `500ms`, `10s`, `10m`, `1h`, in milliseconds. */
function duration(text: string): number {
  const found = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text);
  const unit = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }[found?.[2] ?? ''];
  if (unit === undefined) throw new InvalidArgumentError('Give it as 500ms, 10s, 10m or 1h.');
  return Number(found?.[1]) * unit;
}
