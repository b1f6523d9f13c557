// The figures of shadow traffic. All are read from the tally in one step when somebody scrapes, so
// that every scrape sees eligible = compared + Σ dropped{reason} exactly, also under load.
import { Counter, Gauge, type Registry } from 'prom-client';
import type { ShadowTotals } from './tally.ts';

/** Registers `banyan_shadow_*`; `totals` are asked for at each scrape. */
export function registerShadowMetrics(
  registry: Registry,
  totals: () => ReadonlyMap<string, Readonly<ShadowTotals>>,
): void {
  const registers = [registry];
  new Counter({
    name: 'banyan_shadow_eligible_total',
    help: 'Sampled reads whose outcome is known; = compared + the sum of dropped.',
    labelNames: ['capability'],
    registers,
    collect() {
      this.reset();
      for (const [capability, { matched, mismatched, dropped }] of totals()) {
        let sum = matched + mismatched;
        for (const count of dropped.values()) sum += count;
        this.inc({ capability }, sum);
      }
    },
  });
  new Counter({
    name: 'banyan_shadow_compared_total',
    help: 'Reads whose two answers were compared, by result: matched or mismatched.',
    labelNames: ['capability', 'result'],
    registers,
    collect() {
      this.reset();
      for (const [capability, { matched, mismatched }] of totals()) {
        this.inc({ capability, result: 'matched' }, matched);
        this.inc({ capability, result: 'mismatched' }, mismatched);
      }
    },
  });
  new Counter({
    name: 'banyan_shadow_dropped_total',
    help: 'Sampled reads that told nothing, by reason.',
    labelNames: ['capability', 'reason'],
    registers,
    collect() {
      this.reset();
      for (const [capability, { dropped }] of totals())
        for (const [reason, count] of dropped) this.inc({ capability, reason }, count);
    },
  });
  new Counter({
    name: 'banyan_shadow_undecided_total',
    help: 'Dropped reads whose answers differed, where that was neither proven nor excused.',
    labelNames: ['capability'],
    registers,
    collect() {
      this.reset();
      for (const [capability, { undecided }] of totals()) this.inc({ capability }, undecided);
    },
  });
  new Counter({
    name: 'banyan_shadow_noise_total',
    help: 'Differences that were excused because the control does not reproduce them itself.',
    labelNames: ['capability'],
    registers,
    collect() {
      this.reset();
      for (const [capability, { noise }] of totals()) this.inc({ capability }, noise);
    },
  });
  new Gauge({
    name: 'banyan_shadow_pending',
    help: 'Shadow copies that have no outcome yet.',
    labelNames: ['capability'],
    registers,
    collect() {
      this.reset();
      for (const [capability, { pending }] of totals()) this.set({ capability }, pending);
    },
  });
}
