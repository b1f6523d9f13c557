// Long-running parts and the supervisor that runs them. A part resolves once it has drained after
// its signal was aborted and rejects on a fatal error. Parts start in order and stop in reverse;
// every one of them is stopped even when another throws.
import { setTimeout as delay } from 'node:timers/promises';
import { BanyanError } from './errors.ts';

export interface Part {
  readonly name: string;
  /** Runs until `signal` aborts; calls `ready` once it serves. */
  run(signal: AbortSignal, ready: () => void): Promise<void>;
}

/**
 * Runs the parts until `signal` aborts or one of them ends, then stops the rest in reverse order.
 * Rejects with the first fatal error (all of them as AggregateError when there are several).
 */
export async function supervise(parts: readonly Part[], signal: AbortSignal): Promise<void> {
  const running: { stop: AbortController; ended: Promise<void> }[] = [];
  const errors: unknown[] = [];
  const over = new AbortController();
  const onAbort = (): void => {
    over.abort();
  };
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) over.abort();
  try {
    for (const part of parts) {
      if (over.signal.aborted) break;
      const stop = new AbortController();
      const started = Promise.withResolvers<undefined>();
      const ended = part
        .run(stop.signal, () => {
          started.resolve(undefined);
        })
        .catch((error: unknown) => {
          errors.push(error);
        })
        .finally(() => {
          over.abort();
          started.resolve(undefined);
        });
      running.push({ stop, ended });
      // Whoever wants it to end does not wait for it to begin.
      await Promise.race([started.promise, aborted(over.signal)]);
    }
    await aborted(over.signal);
  } finally {
    signal.removeEventListener('abort', onAbort);
    for (const { stop, ended } of running.reverse()) {
      stop.abort();
      await ended;
    }
  }
  if (errors.length === 1) throw errors[0];
  if (errors.length > 1) throw new AggregateError(errors, 'several parts failed');
}

/** Resolves when the signal aborts. For whoever waits once: until then it keeps a listener there. */
export function aborted(signal: AbortSignal): Promise<void> {
  return untilAborted(signal).over;
}

/** The same for whoever waits again and again on a signal that lives long: `forget` takes the listener away. */
export function untilAborted(signal: AbortSignal): {
  readonly over: Promise<void>;
  readonly forget: () => void;
} {
  const { promise: over, resolve } = Promise.withResolvers<undefined>();
  const onAbort = (): void => {
    resolve(undefined);
  };
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  return {
    over,
    forget: () => {
      signal.removeEventListener('abort', onAbort);
    },
  };
}

/** Waits `ms` milliseconds; returns early, without an error, when the signal aborts. */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  await delay(ms, undefined, signal ? { signal, ref: true } : {}).catch(() => undefined);
}

export interface WaitOptions {
  readonly timeoutMs: number;
  readonly everyMs?: number;
  readonly signal?: AbortSignal | undefined;
  /** What was waited for, for the error: "the applier to pass the barrier". */
  readonly what: string;
  readonly hint?: string;
}

/** Polls until `probe` gives something other than undefined or false. Throws TIMED_OUT. */
export async function waitFor<T>(
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  options: WaitOptions,
): Promise<T> {
  const deadline = performance.now() + options.timeoutMs;
  for (;;) {
    const found = await probe();
    if (found !== undefined && found !== false) return found;
    options.signal?.throwIfAborted();
    if (performance.now() > deadline)
      throw new BanyanError(
        'TIMED_OUT',
        `waited ${options.timeoutMs} ms in vain for ${options.what}`,
        { hint: options.hint },
      );
    await sleep(options.everyMs ?? 25, options.signal);
  }
}
