// The figures that a walk gathers on its way, and the report that they make.
import { request } from 'undici';
import { Evidence } from '../../control/evidence.ts';
import type { Ledger, LedgerVerdict } from './ledger.ts';
import type { DemoReport, SwitchPause } from './report.ts';
import type { Stage } from './stage.ts';

export class Figures {
  readonly started = performance.now();
  readonly walked: string[] = ['monolith'];
  readonly switches: SwitchPause[] = [];
  readonly lag: Record<string, { p50Ms: number | null; p99Ms: number | null }> = {};
  shadow = { samples: 0, mismatches: 0, dropped: 0 };
  verify = { runs: 0, rows: 0, wrong: 0 };
  batch: { accepted: number; refused: number; refusal: string | null } = {
    accepted: 0,
    refused: 0,
    refusal: null,
  };
  verdict: LedgerVerdict = { acknowledged: 0, checked: 0, lost: [], doubled: [] };

  readonly #stage: Stage;
  readonly #capability: string;
  readonly #evidence: Evidence;

  constructor(stage: Stage, capability: string) {
    this.#stage = stage;
    this.#capability = capability;
    this.#evidence = new Evidence(stage.context.db);
  }

  /** To be called while the phase is shadow: the evidence is forgotten when it ends. */
  async noteShadow(): Promise<void> {
    const { samples } = await this.#evidence.shadow(this.#capability);
    const total = (field: 'compared' | 'mismatched' | 'dropped'): number =>
      samples.reduce((sum, one) => sum + one[field], 0);
    this.shadow = {
      samples: total('compared'),
      mismatches: total('mismatched'),
      dropped: total('dropped'),
    };
  }

  async noteLag(): Promise<void> {
    for (const flow of await this.#evidence.flows(this.#capability))
      if (flow.lagP50Ms !== null)
        this.lag[`sync ${flow.direction}`] = { p50Ms: flow.lagP50Ms, p99Ms: flow.lagP99Ms };
  }

  async report(ledger: Ledger, error: Error | undefined): Promise<DemoReport> {
    const { lost, doubled, acknowledged, checked } = this.verdict;
    const failed = ledger.failures.length;
    const ok =
      error === undefined &&
      failed === 0 &&
      lost.length === 0 &&
      doubled.length === 0 &&
      this.verify.wrong === 0;
    return {
      ok,
      error: error?.message ?? null,
      seconds: (performance.now() - this.started) / 1000,
      changeLog: this.#stage.kafka === undefined ? 'direct' : 'kafka',
      walked: this.walked,
      requests: {
        total: ledger.requests,
        byPath: await requestsByPath(this.#stage.adminUrl).catch(() => ({})),
        failed,
        failures: ledger.failures.slice(0, 20),
      },
      writes: {
        acknowledged,
        checked,
        lost: lost.length,
        doubled: doubled.length,
        examples: [...lost, ...doubled].slice(0, 20),
      },
      shadow: this.shadow,
      syncLag: this.lag,
      switches: this.switches,
      verify: this.verify,
      ordersByPhase: ledger.ordersByPhase(),
      batch: this.batch,
    };
  }
}

/** The facade's own counters. */
async function requestsByPath(adminUrl: string): Promise<Record<string, number>> {
  const { body } = await request(`${adminUrl}/metrics`);
  const counts: Record<string, number> = {};
  for (const line of (await body.text()).split('\n')) {
    const match = /^banyan_requests_total\{(.*)\} (\d+)$/.exec(line);
    const path = match && /path="([^"]+)"/.exec(match[1] ?? '')?.[1];
    if (match && path) counts[path] = (counts[path] ?? 0) + Number(match[2]);
  }
  return counts;
}
