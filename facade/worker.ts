// One worker of `banyan facade --workers`: a facade of its own, a replica of its own, on a data port
// that all workers share. It has no admin port; the process that leads it asks.
//
// Each listens by itself and the kernel deals connections out. Node's own way (the leading process
// accepts and hands sockets over) leaves those in its hands open for ever when a worker is killed.
import { isBanyanError, messageOf } from '../core/errors.ts';
import type { EngineOptions } from './engine.ts';
import type { Listen } from './listening.ts';
import { serveData } from './server.ts';
import { standaloneEngine } from './standalone.ts';
import { isOurs, type FromWorker, type ToWorker } from './worker-messages.ts';

/** The way to the leading process. */
export interface Channel {
  /** Resolves when the message is on its way. */
  send(message: FromWorker): Promise<void>;
  onMessage(listener: (message: unknown) => void): void;
}

/** Runs until told to stop or `stop` aborts; the leading process hears of a failure, then it is thrown. */
export async function runWorker(
  options: EngineOptions & { readonly data: Listen },
  channel: Channel,
  stop: AbortController,
): Promise<void> {
  try {
    const engine = await standaloneEngine(options);
    const { view } = engine;
    channel.onMessage((given) => {
      if (!isOurs(given)) return;
      const message = given as ToWorker;
      if (message.banyan === 'stop') stop.abort();
      else void answer(message.id, message.what === 'figures' ? view.figures() : view.state());
    });
    const answer = async (id: number, asked: Promise<unknown>): Promise<void> => {
      const value = await asked.catch(() => undefined);
      await channel.send({ banyan: 'answer', id, value });
    };
    stop.signal.addEventListener('abort', () => void channel.send({ banyan: 'ending' }));
    await channel.send({ banyan: 'replica', id: view.replicaId });
    const at: Listen = { ...options.data, shared: true };
    await serveData(engine, at, stop.signal, (url) => {
      void channel.send({ banyan: 'listening', url });
    });
  } catch (error) {
    await channel.send({
      banyan: 'failed',
      code: isBanyanError(error) ? error.code : undefined,
      message: messageOf(error),
      hint: isBanyanError(error) ? error.hint : undefined,
    });
    throw error;
  }
}
