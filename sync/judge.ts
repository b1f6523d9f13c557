// The owner's side of a write canary: takes the service's changes one by one, one source transaction a
// target transaction, looks at the row under lock, and does what domain/verdict.ts says: applies the
// change, or answers it with the row. Every conflict is recorded with its verdict in the transaction
// that has the effect.
import { BanyanError, messageOf } from '../core/errors.ts';
import { formatTable, quoteLiteral } from '../core/postgres/identifiers.ts';
import { rawRows, sqlState } from '../core/postgres/connect.ts';
import type { Verdict } from '../control/domain/conflicts.ts';
import { encodeMessage, type FlowMessage } from '../control/domain/flow.ts';
import { MESSAGE_PREFIX } from '../control/domain/names.ts';
import {
  conflictOf,
  reasonOf,
  recordConflict,
  type Judged,
  type Look,
  type Reason,
  type Source,
} from './conflict-record.ts';
import type { RowChange, TransactionHead } from './domain/change.ts';
import { askedBy, type Asked, type Image } from './domain/images.ts';
import { judgingTexts, type JudgingTexts } from './domain/judging.ts';
import { targetColumns, type Edge } from './domain/mapping.ts';
import { judgementOf, standingOf, verdictOf } from './domain/verdict.ts';
import { isConstraintViolation, isKeyViolation, isRefusal } from './refusal.ts';
import type { BatchContext, Care } from './batch-context.ts';
import type { Writer } from './writer.ts';

/** A row that another session inserts while we look is looked at again. */
const MOST_LOOKS = 5;
const PRUNE_EVERY = 1_000;

export class Judge {
  readonly #context: BatchContext;
  readonly #writer: Writer;
  readonly #care: Care;
  readonly #timed: boolean;
  /** Rows that this transaction has deleted: their absence is locked. */
  readonly #deleted = new Set<string>();
  conflicts = 0;

  constructor(context: BatchContext, writer: Writer, care: Care) {
    this.#context = context;
    this.#writer = writer;
    this.#care = care;
    this.#timed = context.plan.conflicts === 'last-writer-wins';
  }

  /** Begins with a transaction of the service: what it changed is in flight no more. */
  async open({ xid }: TransactionHead): Promise<void> {
    const { plan, target } = this.#context;
    const judged = encodeMessage({ kind: 'judged', capability: plan.capability, xid });
    await this.#writer.begin(
      `SELECT pg_logical_emit_message(true, ${quoteLiteral(MESSAGE_PREFIX)}, ${quoteLiteral(judged)})`,
    );
    if (this.#timed && xid % PRUNE_EVERY === 0)
      await target.client.query(
        `DELETE FROM banyan.tombstone WHERE at < clock_timestamp() - interval '1 day'`,
      );
  }

  /**
   * Judges a change; gives what refused it, and it has had no effect then. At first without savepoints:
   * what is refused is thrown, and the batch tried again with more care.
   */
  async change(change: RowChange, source: Source): Promise<unknown> {
    const label = formatTable(change.relation);
    const edges = this.#context.plan.edges['sharing guest'];
    return this.#whole(async () => {
      for (const edge of edges)
        if (formatTable(edge.source) === label) {
          const all = askedBy(edge, change);
          if (await this.#moves(all)) continue;
          for (const asked of all)
            if (!(await this.#agrees(asked))) await this.#judge(asked, source);
        }
    }, isRefusal);
  }

  /**
   * A row that is what the service's client saw goes on under its new key, with all that the owner alone
   * knows of it. False where it is not, or cannot: then the old one is to go, and the new one to come.
   */
  async #moves([old, now]: readonly Asked[]): Promise<boolean> {
    if (!old?.before || !now?.after || !old.edge.driver) return false;
    const { before, edge } = old;
    const { target } = this.#context;
    const values = [...old.key, ...now.key, ...now.after, ...before];
    const moved: boolean[] = [];
    const refused = await this.#whole(async () => {
      moved.push(await target.into(edge, () => target.one(this.#textsOf(edge).move, values)));
    }, isConstraintViolation);
    if (refused !== undefined || moved[0] !== true) return false;
    this.#deleted.add(nameOf(old));
    return true;
  }

  async #whole(work: () => Promise<void>, isOne: (error: unknown) => boolean): Promise<unknown> {
    if (this.#care !== 'folded')
      return this.#writer.whole(work, isOne, this.#care === 'parking strictly');
    await work();
    return undefined;
  }

  /** The common case in one statement, and no savepoint: a row that is what the service's client saw. */
  async #agrees(asked: Asked): Promise<boolean> {
    const { edge, key, before, after, changes } = asked;
    if (!changes || this.#care !== 'folded') return false;
    const { agreed } = this.#textsOf(edge);
    const { target } = this.#context;
    const one = (text: string, values: Image): Promise<boolean> =>
      target.into(edge, () => target.one(text, [...key, ...values]));
    if (!before) return one(agreed.insert, after ?? []);
    if (after) return agreed.update !== undefined && one(agreed.update, [...after, ...before]);
    const gone = await one(agreed.remove, before);
    if (gone) this.#deleted.add(nameOf(asked));
    return gone;
  }

  /** The service has taken a reset: what follows in its stream was made on top of it. */
  async taken(table: string, key: readonly string[]): Promise<void> {
    await this.#writer.begin();
    await this.#context.target.client.query(
      'DELETE FROM banyan.awaited WHERE flow = $1 AND source_table = $2 AND key = $3',
      [this.#context.plan.flow, table, key],
    );
  }

  async #judge(asked: Asked, source: Source): Promise<void> {
    for (let looks = 1; ; looks++) {
      const look = await this.#look(asked);
      const standing = standingOf({ ...asked, ...look });
      let verdict: Verdict = 'owner';
      let reason: Reason | undefined;
      if (standing === 'conflict') {
        reason = reasonOf(asked, look);
        verdict = this.#verdict(asked, look, source);
        // Of a row that is gone, a part knows some columns only; and no other row knows the rest.
        if (verdict === 'service' && !look.present && asked.after && this.#isPartial(asked.edge)) {
          verdict = 'owner';
          reason = 'incomplete';
        }
      }
      if (standing === 'agrees' || verdict === 'service') {
        const refused = await this.#apply(asked, look.present);
        if (refused === undefined) {
          if (reason) await this.#record({ asked, look, source, reason, verdict });
          return;
        }
        // It may be the very row, which another session has just inserted.
        const again = sqlState(refused) === '23505' && !look.present && looks < MOST_LOOKS;
        if (again && (await this.#look(asked)).present) continue;
        reason = sqlState(refused) === '23505' ? 'unique' : 'foreign key';
        verdict = 'owner';
      }
      if (reason) await this.#record({ asked, look, source, reason, verdict });
      await this.#answer(asked, look, reason !== undefined);
      return;
    }
  }

  /** Gives a key violation; any other refusal is thrown. */
  #apply(asked: Asked, present: boolean): Promise<unknown> {
    const { update, insert, remove } = this.#textsOf(asked.edge);
    const { target } = this.#context;
    const run = async (text: string | undefined, image: Image): Promise<void> => {
      if (text !== undefined)
        await target.into(asked.edge, () => rawRows(target.client, text, [...asked.key, ...image]));
    };
    return this.#whole(async () => {
      if (asked.after) await run(present ? update : insert, asked.after);
      else {
        await run(remove, []);
        this.#deleted.add(nameOf(asked));
      }
    }, isKeyViolation);
  }

  async #look(asked: Asked): Promise<Look> {
    const { edge, key, before, after } = asked;
    const nothing = targetColumns(edge).map(() => null);
    const { client } = this.#context.target;
    const [found] = await rawRows(client, this.#textsOf(edge).look, [
      ...key,
      ...(before ?? nothing),
      ...(after ?? nothing),
    ]);
    if (!found) {
      const gone = asked.operation === 'delete' || (edge.driver && after === null);
      const writtenMs = this.#timed ? await this.#deletedMs(edge, key) : null;
      return { present: false, asBefore: before === null, asAfter: gone, writtenMs, row: null };
    }
    const [asBefore, asAfter, written, ...values] = found;
    const shown = this.#shown(edge);
    return {
      present: true,
      asBefore: before !== null && asBefore === 't',
      asAfter: after !== null && asAfter === 't',
      writtenMs: written === null || written === undefined ? null : Number(written),
      row: Object.fromEntries(shown.map((name, index) => [name, values[index] ?? null])),
    };
  }

  async #deletedMs(edge: Edge, key: readonly string[]): Promise<number | null> {
    const { plan, target } = this.#context;
    const canonical = edge.key.map((pair, index) => `$${index + 3}::text::${pair.type}::text`);
    const [found] = await rawRows(
      target.client,
      `SELECT extract(epoch FROM at) * 1000 FROM banyan.tombstone
        WHERE capability = $1 AND owner_table = $2 AND key = ARRAY[${canonical.join(', ')}]`,
      [plan.capability, formatTable(edge.target), ...key],
    );
    return found?.[0] === null || found?.[0] === undefined ? null : Number(found[0]);
  }

  #verdict(asked: Asked, look: Look, { commitMs }: Source): Verdict {
    const times = { incoming: commitMs, owner: look.writtenMs };
    const { conflicts } = this.#context.plan;
    let verdict: unknown;
    try {
      verdict = verdictOf(conflicts, conflictOf(asked, look), times);
    } catch (error) {
      throw new BanyanError('FLOW_STOPPED', `canary.conflicts has thrown: ${messageOf(error)}`, {
        hint: 'Mend the function, then start sync again; nothing was lost.',
        cause: error,
      });
    }
    if (verdict === 'owner' || verdict === 'service') return verdict;
    throw new BanyanError('FLOW_STOPPED', `canary.conflicts has answered ${String(verdict)}`, {
      hint: "It must return 'owner' or 'service'.",
    });
  }

  async #answer(asked: Asked, { present, row }: Look, conflict: boolean): Promise<void> {
    const { edge, key } = asked;
    const { plan, target } = this.#context;
    if (!present && !conflict && this.#deleted.has(nameOf(asked))) return;
    const source = formatTable(edge.source);
    let awaited = false;
    if (conflict && present) {
      const { rowCount } = await target.client.query(
        'INSERT INTO banyan.awaited (flow, source_table, key) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING',
        [plan.flow, source, key],
      );
      awaited = rowCount === 0;
    }
    const judgement = judgementOf(conflict ? 'conflict' : 'settled', 'owner', awaited);
    await this.#say({
      ...{ kind: 'row', capability: plan.capability, table: formatTable(edge.target), key, row },
      reset: judgement.effect === 'none' && judgement.answer === 'reset' ? source : null,
    });
  }

  async #record(judged: Judged): Promise<void> {
    await recordConflict(this.#context.target.client, this.#context.plan, judged);
    this.conflicts += 1;
  }

  async #say(message: FlowMessage): Promise<void> {
    await this.#context.target.client.query('SELECT pg_logical_emit_message(true, $1, $2)', [
      MESSAGE_PREFIX,
      encodeMessage(message),
    ]);
  }

  /** Whether several tables of the service make up the owner's row. */
  #isPartial({ target }: Edge): boolean {
    const label = formatTable(target);
    const edges = this.#context.plan.edges['sharing guest'];
    return edges.filter((one) => formatTable(one.target) === label).length > 1;
  }

  #shown({ target }: Edge): readonly string[] {
    return this.#context.plan.shown.get(formatTable(target)) ?? [];
  }

  #textsOf(edge: Edge): JudgingTexts {
    let texts = TEXTS.get(edge);
    if (!texts) {
      const { edges } = this.#context.plan;
      const label = formatTable(edge.target);
      const parts = edges['sharing guest']
        .filter((one) => one !== edge && formatTable(one.target) === label)
        .flatMap(targetColumns);
      const judging = { edge, parts, shown: this.#shown(edge), timed: this.#timed };
      TEXTS.set(edge, (texts = judgingTexts(judging)));
    }
    return texts;
  }
}

/** Edges are made anew with each plan. */
const TEXTS = new WeakMap<Edge, JudgingTexts>();

function nameOf({ edge, key }: Asked): string {
  return [formatTable(edge.target), ...key].join('\u0000');
}
