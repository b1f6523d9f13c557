// What a move does in the databases when it is not a switch of ownership. Each step can be repeated:
// what an interrupted one left behind is removed or finished before the next begins.
import { BanyanError } from '../core/errors.ts';
import { parseTableName, quoteTable } from '../core/postgres/identifiers.ts';
import { assertUnclaimed } from './claims.ts';
import { assertOrigins } from './connector.ts';
import type { Capability } from './definition.ts';
import type { PlannedMove } from './domain/move.ts';
import type { CapabilityState } from './domain/state.ts';
import type { FlowPair } from './ends.ts';
import { Evidence } from './evidence.ts';
import type { Lease } from './lease.ts';
import type { Participant } from './participant.ts';
import type { RelayReports } from './relay-reports.ts';
import type { Replicas } from './replicas.ts';
import { createFlow, removeFlow } from './replication.ts';
import { tidy } from './rest.ts';
import { patiently } from './table-locks.ts';
import { ownerOf } from './domain/phase.ts';
import type { JournalEntry, StateStore } from './store.ts';
import { assertNoHeirs } from './table-facts.ts';

const TRAFFIC_TIMEOUT_MS = 5_000;

/** What a step works on: the definition, and both databases where the capability has tables. */
export interface Site {
  readonly definition: Capability;
  readonly ends: FlowPair | undefined;
  /** Looked at before each step that no epoch guards. */
  readonly lease: Lease;
}

export interface StepsOptions {
  readonly store: StateStore;
  readonly evidence: Evidence;
  readonly replicas: Replicas;
  readonly relays: RelayReports;
}

export class Steps {
  readonly #store: StateStore;
  readonly #evidence: Evidence;
  readonly #replicas: Replicas;
  readonly #relays: RelayReports;

  constructor({ store, evidence, replicas, relays }: StepsOptions) {
    this.#store = store;
    this.#evidence = evidence;
    this.#replicas = replicas;
    this.#relays = relays;
  }

  /** Throws PREFLIGHT_FAILED, TIMED_OUT and the errors of the databases; the capability is then where it was. */
  async take(
    given: CapabilityState,
    move: PlannedMove,
    site: Site,
    replaceTarget: boolean,
  ): Promise<CapabilityState> {
    const { to, weight, entry } = move;
    // What is built before the state changes is announced first: should we die, the caretaker sees a
    // newer version and tidies up.
    const builds =
      site.ends &&
      (to === 'sync' || to === 'canary') &&
      given.phase !== to &&
      entry.event === 'advance';
    const state = builds
      ? await this.#store.change(
          given,
          { epoch: given.epoch + 1, building: true },
          { ...entry, event: 'begin' },
        )
      : given;
    const change = async (): Promise<CapabilityState> => {
      await site.lease.assertHeld();
      return this.#store.change(state, { phase: to, weight }, entry);
    };
    switch (`${state.phase}>${to}`) {
      case 'monolith>sync':
        if (site.ends) await this.#beginSync(state, site, site.ends, replaceTarget);
        return change();
      case 'sync>monolith':
      case 'shadow>monolith':
      case 'canary>monolith':
      case 'cutover>retired':
        return this.#left(await change(), site);
      case 'sync>shadow':
        return this.countAnew(state, move);
      case 'shadow>canary':
        if (site.ends) await this.#buildWayBack(state, site, site.ends);
        return change();
      case 'canary>shadow':
        return this.#left(await this.countAnew(state, move), site);
      default:
        return change();
    }
  }

  /** Back to `monolith` at once, while the monolith owns the data. Throws MOVE_NOT_ALLOWED. */
  async withdraw(state: CapabilityState, entry: JournalEntry, site: Site): Promise<void> {
    if (state.phase === 'monolith') {
      await this.tidied(state, site);
      return;
    }
    if (ownerOf(state.phase) === 'service')
      throw new BanyanError(
        'MOVE_NOT_ALLOWED',
        `the service owns the data of "${state.capability}" by now`,
        { hint: 'Give the command again: it goes back by a switch.' },
      );
    for (const side of site.ends ? [site.ends.to.source, site.ends.to.target] : [])
      await side.assertOneWriter();
    await this.take(state, { to: 'monolith', weight: 0, entry }, site, false);
  }

  /** Changes the state, and with it begins a new count of shadow traffic. */
  countAnew(state: CapabilityState, { to, weight, entry }: PlannedMove): Promise<CapabilityState> {
    return this.#store.change(state, { phase: to, weight }, entry, async (db) => {
      const evidence = new Evidence(db);
      await evidence.clearShadow(state.capability, state.version + 1);
      await evidence.clearAnswers(state.capability, state.version + 1);
    });
  }

  /** Removes what a move that was cut short has left; false when there was nothing. */
  tidied(state: CapabilityState, { definition, ends, lease }: Site): Promise<boolean> {
    if (!ends) return Promise.resolve(false);
    return tidy(state, definition, ends, lease, {
      evidence: this.#evidence,
      relays: this.#relays,
      replicas: this.#replicas,
    });
  }

  /** Fence first, then publication, slot and checkpoint; a half-made one is removed again. */
  async #beginSync(
    state: CapabilityState,
    site: Site,
    ends: FlowPair,
    replace: boolean,
  ): Promise<void> {
    const { source: monolith, target: service } = ends.to;
    const { definition, lease } = site;
    const { epoch } = state;
    await lease.assertHeld();
    // Before anything: fences of another name would be replaced by ours, and its rows overwritten.
    await assertUnclaimed(ends);
    await this.tidied(state, site);
    try {
      for (const side of [monolith, service]) {
        const tables = definition.tables.flatMap((table) => table[side.side]);
        await assertNoHeirs(side.client, tables.map(parseTableName));
        await lease.assertHeld();
        await side.prepare(epoch, { anew: true });
      }
      await patiently(service, () => service.fence('monolith', epoch), {
        timeoutMs: 30_000,
        what: 'the locks to fence the service’s tables',
      });
      // Behind the fence: nothing comes in after this look.
      if (!replace) await assertEmpty(service, definition);
      await createFlow(ends.to, { lease, epoch });
    } catch (error) {
      await lease.assertHeld();
      await this.tidied(state, site);
      throw error;
    }
  }

  /** Publication, slot and checkpoint of sync back; a half-made one is removed again. */
  async #buildWayBack(state: CapabilityState, site: Site, ends: FlowPair): Promise<void> {
    if (ends.to.connector) await assertOrigins(ends.to.target, ends.to.names.flow);
    const { lease } = site;
    try {
      const right = { lease, epoch: state.epoch };
      await removeFlow(ends.back, right);
      await createFlow(ends.back, right);
    } catch (error) {
      await lease.assertHeld();
      await this.tidied(state, site);
      throw error;
    }
  }

  /** The state has changed; once no live facade acts on the older one, what it needed may go. */
  async #left(state: CapabilityState, site: Site): Promise<CapabilityState> {
    await this.#replicas.acknowledged(state.capability, state.version, TRAFFIC_TIMEOUT_MS);
    await this.tidied(state, site);
    return state;
  }
}

async function assertEmpty(service: Participant, definition: Capability): Promise<void> {
  for (const table of definition.tables.flatMap((one) => one.service)) {
    const name = quoteTable(parseTableName(table));
    const { rows } = await service.client.query(`SELECT 1 FROM ${name} LIMIT 1`);
    if (rows.length > 0)
      throw new BanyanError('PREFLIGHT_FAILED', `table ${table} of the service is not empty`, {
        hint: 'With `banyan advance --replace-target` its rows are overwritten, and those that the monolith lacks deleted.',
      });
  }
}
