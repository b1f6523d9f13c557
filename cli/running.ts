// How the long-running commands run: parts under a supervisor, until SIGINT or SIGTERM. The first
// signal drains, the second ends the process at once.
import { supervise, type Part } from '../core/lifecycle.ts';

/** Aborts with the first SIGINT or SIGTERM; the second exits. */
export function interruption(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => {
      if (controller.signal.aborted) process.exit(130);
      controller.abort();
    });
  return controller.signal;
}

/** Runs the parts; `ready` is called once all of them serve. */
export async function runParts(parts: readonly Part[], ready: () => void): Promise<void> {
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
