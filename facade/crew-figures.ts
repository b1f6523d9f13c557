// The metrics of all workers as one. What a counter has once told never gets smaller: the last known
// figures of a worker that died stay in the sum (gauges die with it), and one that does not answer in
// time stands with what it told last.
import { AggregatorRegistry, type Registry } from 'prom-client';
import type { Figures } from './replica-view.ts';

export class CrewFigures {
  readonly #last = new Map<number, Figures>();
  readonly #lost = new Set<number>();
  /** Counters and histograms of those that are gone, in one sum. */
  #gone: Promise<Figures> = Promise.resolve([]);

  /** Takes what a worker has told; an answer that comes after its end is not counted twice. */
  tell(worker: number, figures: Figures): void {
    if (!this.#lost.has(worker)) this.#last.set(worker, figures);
  }

  /** A worker has ended: its counts stay. */
  lose(worker: number): void {
    this.#lost.add(worker);
    const lasting = (this.#last.get(worker) ?? []).filter(({ type }) => !isGauge(type));
    this.#last.delete(worker);
    this.#gone = this.#gone.then((gone) => sum([gone, lasting]).getMetricsAsJSON());
  }

  /** All of it, with figures of the leading process's own. */
  async text(own: Registry): Promise<string> {
    const gone = await this.#gone;
    const all = sum([gone, ...this.#last.values()]);
    return (await all.metrics()) + (await own.metrics());
  }
}

function sum(figures: Figures[]): Registry {
  return AggregatorRegistry.aggregate(figures);
}

/** prom-client declares a type that is a number and gives the word. */
function isGauge(type: unknown): boolean {
  return type === 'gauge';
}
