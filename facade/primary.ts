// The process that leads the workers of `banyan facade --workers`: it takes no request itself, so its
// admin port answers however busy they are. Ready means: every worker that should run listens.
import { Gauge, Counter, Registry } from 'prom-client';
import { aborted, type Part } from '../core/lifecycle.ts';
import { adminApp, adminServer, type AdminView } from './admin.ts';
import { CrewFigures } from './crew-figures.ts';
import { Crew, type CrewOptions, type WorkerProcess } from './crew.ts';
import { closeNow, listen, probePort, type Listen } from './listening.ts';
import type { Figures } from './replica-view.ts';

export interface PrimaryOptions extends Omit<CrewOptions, 'onExit' | 'fork'> {
  /** Starts a worker that listens there. */
  readonly fork: (at: Listen) => WorkerProcess;
  readonly data: Listen;
  readonly admin: Listen;
  /** Takes a replica whose process has ended off the control database, so that no switch waits for it. */
  readonly leave: (replica: string) => Promise<void>;
  /** Called once all workers listen. */
  readonly onListening: (at: { readonly url: string; readonly adminUrl: string }) => void;
}

/** Runs the workers and their admin port. */
export function primaryPart(options: PrimaryOptions): Part {
  return {
    name: 'facade',
    run: async (signal, ready) => {
      // One port for all their lives: had each asked for a free one, a later one could get another.
      const data = await probePort(options.data);
      const figures = new CrewFigures();
      const crew = new Crew({
        ...options,
        fork: () => options.fork(data),
        onExit: ({ worker, replica, stage }) => {
          figures.lose(worker);
          // One that drains signs off by itself.
          if (replica !== undefined && stage !== 'ending')
            options.leave(replica).catch((error: unknown) => {
              options.log.warn('a dead worker could not be signed off; its lease will run out', {
                error: String(error),
              });
            });
        },
      });
      const stage = { ending: false };
      const admin = adminServer(adminApp(viewOf(crew, figures, stage)));
      try {
        const adminUrl = await listen(admin, options.admin);
        const url = await Promise.race([crew.start(), aborted(signal)]);
        if (url === undefined) return;
        options.onListening({ url, adminUrl });
        ready();
        await aborted(signal);
      } finally {
        stage.ending = true;
        await crew.stop();
        await closeNow(admin);
      }
    },
  };
}

function viewOf(crew: Crew, figures: CrewFigures, stage: { readonly ending: boolean }): AdminView {
  const own = crewRegistry(crew);
  const missing = (): string[] => (stage.ending ? ['it ends'] : crew.missing());
  return {
    readiness: () => ({ ready: missing().length === 0, missing: missing() }),
    state: async () => ({
      ready: missing().length === 0,
      restarts: crew.restarts,
      workers: (await crew.ask('state')).map(({ member: { worker, pid, stage }, value }) => ({
        worker,
        pid,
        stage,
        ...(value as object | undefined),
      })),
    }),
    metrics: async () => {
      for (const { member, value } of await crew.ask('figures'))
        if (value !== undefined) figures.tell(member.worker, value as Figures);
      return { type: own.contentType, text: await figures.text(own) };
    },
  };
}

function crewRegistry(crew: Crew): Registry {
  const registry = new Registry();
  const registers = [registry];
  new Gauge({
    name: 'banyan_workers',
    help: 'Worker processes by stage.',
    labelNames: ['stage'],
    registers,
    collect() {
      for (const stage of ['starting', 'listening', 'ending'] as const)
        this.set({ stage }, crew.members.filter((member) => member.stage === stage).length);
    },
  });
  new Counter({
    name: 'banyan_worker_restarts_total',
    help: 'Workers that died and were replaced.',
    registers,
    collect() {
      this.reset();
      this.inc(crew.restarts);
    },
  });
  return registry;
}
