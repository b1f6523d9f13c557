// How the long-running commands run: parts under a supervisor, until SIGINT or SIGTERM. The first
// signal drains, the second ends the process at once.
import { supervise, type Part } from '../core/lifecycle.ts';
import { readyForBursts } from './heap.ts';

/** Aborts with the first SIGINT or SIGTERM (or what else is named); the second exits. */
export function interruption(
  controller = new AbortController(),
  signals: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM'],
): AbortSignal {
  for (const signal of signals)
    process.on(signal, () => {
      if (controller.signal.aborted) process.exit(130);
      controller.abort();
    });
  return controller.signal;
}

/** While a switch is under way the first signal takes it back, where it can be; the second ends the command at once. */
export function interrupts(then: () => void): () => void {
  const forget = (): void => {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  };
  const onSignal = (): void => {
    forget();
    process.stderr.write('Interrupted: a switch that has not flipped is taken back.\n');
    then();
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  return forget;
}

/** Runs the parts; `ready` is called once all of them serve, `heap` says how memory is kept. */
export async function runParts(
  parts: readonly Part[],
  ready: () => void,
  heap = readyForBursts,
): Promise<void> {
  heap();
  const last: Part = {
    name: 'ready',
    run: (signal, started) => {
      ready();
      started();
      return new Promise((resolve) => {
        signal.addEventListener(
          'abort',
          () => {
            resolve();
          },
          { once: true },
        );
      });
    },
  };
  await supervise([...parts, last], interruption());
}
