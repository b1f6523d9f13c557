// What may be asked of a coordinator, one method a command: moves, the ways out, rehearsals, pauses, and
// the care of what a dead one has left.
import type { Knex } from 'knex';
import { BanyanError } from '../core/errors.ts';
import { abort, type AbortRequest, type Aborted } from './abort.ts';
import type { MissingRight } from './applier-rights.ts';
import { dryRun, type DryRun } from './dry-run.ts';
import { notAllowed, type MoveRequest, type MoveResult } from './domain/move.ts';
import { ownerOf } from './domain/phase.ts';
import type { Rehearsal } from './domain/rehearsal.ts';
import { withMonolith, withSource } from './ends.ts';
import { keepUpToDate } from './entry.ts';
import { hasGaps, mendFence, type Mended } from './fence-gaps.ts';
import { giveUp, type Loss } from './giving-up.ts';
import { isClosed } from './handing-back.ts';
import { withLease } from './lease.ts';
import { Moves } from './moves.ts';
import { pauseFlows, resumeFlows, type Pausable } from './pauses.ts';
import { assertWindow } from './rehearsal-checks.ts';
import { rehearse } from './rehearsal.ts';
import type { JournalEntry } from './store.ts';
import { RECOPIED } from './verify-outcomes.ts';
import { missingRights } from './way-back.ts';
import { giveUpEvents } from './relay-leave.ts';
import { astray } from './rest.ts';
import { Workplace, type CoordinatorOptions } from './workplace.ts';

export class Coordinator {
  readonly #at: Workplace;
  readonly #moves: Moves;

  constructor(options: CoordinatorOptions) {
    this.#at = new Workplace(options);
    this.#moves = new Moves(this.#at);
  }

  /**
   * Moves a capability. Throws MOVE_NOT_ALLOWED, GATE_REFUSED (details: the gates), MOVE_IN_PROGRESS,
   * SWITCH_UNDONE and the errors of the databases; the capability is then where it was.
   */
  move(request: MoveRequest): Promise<MoveResult> {
    return this.#moves.move(request);
  }

  /** Looks at moves, one after the other, and makes none. Throws what a move throws before it begins, but for its gates. */
  dryRun(capability: string, requests: readonly MoveRequest[]): Promise<DryRun[]> {
    return dryRun(this.#at, capability, requests);
  }

  /**
   * Back to `monolith` from any phase before retirement, with nothing of ours left. From `cutover` by the
   * switch back; with `losing` also where that is refused or the service's database is gone. Throws what
   * a move throws; what it has done by then stands, and the same command goes on.
   */
  async abort({ capability, why = '', losing }: AbortRequest): Promise<Aborted> {
    const state = await this.#at.store.readOne(capability);
    if (state.phase === 'retired') throw notAllowed(state, 'retired has given up the way back');
    const entry = { who: this.#at.options.who, event: 'abort', why, evidence: {} };
    const result = await abort({ capability, ...(losing && { losing }) }, state, {
      rollBack: () =>
        this.move({ capability, event: 'rollback', to: state.shared ? 'shadow' : 'canary', why }),
      withdraw: () =>
        this.#at.alone(capability, async (site) =>
          this.#at.steps.withdraw(await this.#at.recovered(capability, site), entry, site),
        ),
      giveUp: () => this.#giveUp(capability, entry),
    });
    return { ...result, astray: result.serviceLeft ? [] : await this.#keptOut(capability) };
  }

  /** Edges that may still send the service writes, where its fence has been left for them. */
  async #keptOut(capability: string): Promise<readonly string[]> {
    const { store, replicas } = this.#at;
    const state = await store.readOne(capability);
    const edges = await astray(replicas, state, this.#at.definition(capability));
    if (edges.length === 0) return [];
    const isSeen = await this.#at
      .looking(capability, async (ends) => ends !== undefined && isClosed(ends.to.target))
      // It is done all the same.
      .catch(() => false);
    return isSeen ? edges : [];
  }

  #giveUp(capability: string, entry: JournalEntry): Promise<Loss> {
    const definition = this.#at.definition(capability);
    const { controlUrl, connections, migration } = this.#at.options;
    const { changeLog, capabilities } = migration;
    const at = { where: { connections, changeLog, capabilities }, definition, entry };
    const { store, evidence, replicas, relays } = this.#at;
    return withLease(controlUrl, capability, (lease) =>
      giveUp({ store, evidence, replicas, relays, lease, ...at }, capability),
    );
  }

  /**
   * Holds, drains and releases as a switch does, without its fence and its flip; watches for `windowMs`
   * at least who writes beside the facade. Throws what a switch throws before its fence, and USAGE.
   */
  async rehearse(capability: string, windowMs = 0, why = ''): Promise<Rehearsal> {
    assertWindow(windowMs, this.#at.options.migration.facade.hold.timeoutMs);
    return this.#at.alone(capability, async (site) =>
      rehearse(
        this.#at.rehearsalContext(site, why),
        await this.#at.recovered(capability, site),
        windowMs,
      ),
    );
  }

  /** What sync back and the way back lack at the monolith; changes nothing. Throws DATABASE_UNREACHABLE. */
  async missingRights(capability: string): Promise<readonly MissingRight[]> {
    const { connections, migration } = this.#at.options;
    const where = { ...migration, connections };
    return withMonolith(where, capability, this.#at.definition(capability), async (only) =>
      only ? missingRights(only.monolith) : [],
    );
  }

  /** Forgets what shadow traffic told so far: the service has been mended. Throws MOVE_NOT_ALLOWED outside `shadow`. */
  async restartShadow(capability: string, why = ''): Promise<void> {
    await this.#at.alone(capability, async (site) => {
      const state = await this.#at.recovered(capability, site);
      if (state.phase !== 'shadow') throw notAllowed(state, 'nothing is counted there');
      const entry = { who: this.#at.options.who, event: 'restart shadow', why, evidence: {} };
      await this.#at.steps.countAnew(state, { to: state.phase, weight: state.weight, entry });
    });
  }

  /**
   * Stops the flows of a capability, or only its copy, until they are resumed; what is written meanwhile
   * waits in the source's WAL, and with the copy alone paused it does not wait.
   */
  async pauseFlows(capability: string, why = '', what: Pausable = 'flows'): Promise<void> {
    const { who } = this.#at.options;
    await this.#note(capability, eventOf('pause', what), why, (db) =>
      pauseFlows(db, { capability, what, who, why }),
    );
  }

  /** Lets all of it go on, or only the copy. */
  async resumeFlows(capability: string, why = '', what: Pausable = 'flows'): Promise<void> {
    await this.#note(capability, eventOf('resume', what), why, (db) =>
      resumeFlows(db, capability, what),
    );
  }

  /**
   * Gives up the events that a relay has yet to send after the last flow of its source, `monolith` or a service:
   * slot and publication go. Throws USAGE for a source that no capability has tables at, MOVE_NOT_ALLOWED where
   * no relay waits for an outbox, TIMED_OUT; the same command goes on then.
   */
  async giveUpEvents(from: string, why = ''): Promise<void> {
    const { controlUrl, connections, migration, who } = this.#at.options;
    const own = Object.entries(migration.capabilities).find(
      ([, one]) => one.tables.length > 0 && (from === 'monolith' || one.service === from),
    );
    if (!own)
      throw new BanyanError('USAGE', `no capability has tables at a source "${from}"`, {
        hint: 'A source is `monolith`, or the service whose database it is: `banyan relay status` names them.',
      });
    const [capability] = own;
    const where = { ...migration, connections };
    await withLease(controlUrl, capability, () =>
      withSource(where, from, own, async ({ source, ...relayed }) => {
        const entry = { who, event: 'give up events', why, evidence: { source: from } };
        const { store, relays } = this.#at;
        const noted = async (): Promise<void> => {
          await store.change(await store.readOne(capability), {}, entry);
        };
        if (!(await giveUpEvents(source, { ...relayed, tables: relayed.outbox }, noted)))
          throw new BanyanError(
            'MOVE_NOT_ALLOWED',
            `the relay of "${from}" does not wait for an outbox`,
            { hint: 'As long as a flow needs it, it sends by itself: `banyan relay status`.' },
          );
        await relays.drop(from);
      }),
    );
  }

  /** Notes that all rows are about to be copied again: what was equal before says nothing of them. Throws MOVE_IN_PROGRESS. */
  async noteRecopy(capability: string): Promise<void> {
    await this.#note(capability, RECOPIED, '', () => Promise.resolve());
  }

  /** Journals what is no move, and does it in the same transaction. */
  async #note(
    capability: string,
    event: string,
    why: string,
    within: (db: Knex.Transaction) => Promise<void>,
  ): Promise<void> {
    await this.#at.alone(capability, async (site) => {
      const state = await this.#at.recovered(capability, site);
      const { who } = this.#at.options;
      await this.#at.store.change(state, {}, { who, event, why, evidence: {} }, within);
    });
  }

  /**
   * Finishes or undoes a switch, or ends a rehearsal, that a dead coordinator left; throws
   * MOVE_IN_PROGRESS while a live one is at it.
   */
  async recover(capability: string): Promise<boolean> {
    const open =
      (await this.#at.switches.open(capability)) ?? (await this.#at.rehearsals.open(capability));
    if (open === undefined) return false;
    await this.#at.alone(capability, (site) => this.#at.recovered(capability, site), 0);
    return true;
  }

  /** Removes what a move that was cut short has left in the databases. Throws MOVE_IN_PROGRESS. */
  async tidy(capability: string): Promise<boolean> {
    return this.#at.alone(
      capability,
      async (site) => this.#at.steps.tidied(await this.#at.recovered(capability, site), site),
      0,
    );
  }

  /** Brings the schema `banyan` up to date in the databases that the capability has entered. */
  async keepUpToDate(capability: string): Promise<void> {
    const { service } = this.#at.definition(capability);
    const { monolith, services } = this.#at.options.connections;
    for (const logins of [monolith.database, services[service]?.database])
      if (logins) await keepUpToDate(logins, capability);
  }

  /**
   * Closes what a closed side's fence has lost since it was made: partitions that have come, triggers that
   * somebody has changed. The capability is kept from being moved only where there is something to do.
   * Throws MOVE_IN_PROGRESS.
   */
  async mendFences(capability: string): Promise<Mended[]> {
    const { phase, holding } = await this.#at.store.readOne(capability);
    const owner = ownerOf(phase);
    const isMended = await this.#at.looking(capability, async (ends) => {
      for (const side of ends ? [ends.to.source, ends.to.target] : [])
        if (await hasGaps(side, owner)) return false;
      return true;
    });
    if (isMended || holding) return [];
    return this.#at.alone(
      capability,
      async (site) => {
        const state = await this.#at.recovered(capability, site);
        const mended: Mended[] = [];
        for (const side of site.ends ? [site.ends.to.source, site.ends.to.target] : [])
          mended.push(await mendFence(side, ownerOf(state.phase), state.epoch));
        return mended;
      },
      0,
    );
  }
}

function eventOf(event: 'pause' | 'resume', what: Pausable): string {
  return what === 'copy' ? `${event} copy` : event;
}
