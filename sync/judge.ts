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
import { judgementOf, standingOf, verdictOf } from './domain/verdict.ts';
import { nameOf, OwnerRows } from './owner-rows.ts';
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
  readonly #rows: OwnerRows;
  /** Rows that this transaction has deleted: their absence is locked. */
  readonly #deleted = new Set<string>();
  /** Rows of which a part has stood against a change, by name: against a change of which transaction. */
  readonly #stood = new Map<string, string>();
  conflicts = 0;

  constructor(context: BatchContext, writer: Writer, care: Care) {
    this.#context = context;
    this.#writer = writer;
    this.#care = care;
    this.#rows = new OwnerRows(context);
  }

  /** Up to when rows were written that it has written over, Unix ms: what is written there now is no older. */
  get newestMs(): number {
    return this.#rows.newestMs;
  }

  /** Begins with a transaction of the service: what it changed is in flight no more. */
  async open({ xid }: TransactionHead): Promise<void> {
    const { plan, target } = this.#context;
    const judged = encodeMessage({ kind: 'judged', capability: plan.capability, xid });
    await this.#writer.transaction.begin(
      `SELECT pg_logical_emit_message(true, ${quoteLiteral(MESSAGE_PREFIX)}, ${quoteLiteral(judged)})`,
    );
    if (this.#rows.timed && xid % PRUNE_EVERY === 0)
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
          // A row of which the owner keeps a part is not what the service's client saw.
          const stands = all.some((asked) => this.#stands(asked, source));
          if (!stands && (await this.#moves(all))) continue;
          for (const asked of all)
            if (this.#stands(asked, source) || !(await this.#agrees(asked)))
              await this.#judge(asked, source);
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
    if (edge.key.some(({ fixed }) => fixed === true)) return false;
    const { target } = this.#context;
    const values = [...old.key, ...now.key, ...now.after, ...before];
    const moved: boolean[] = [];
    const refused = await this.#whole(async () => {
      moved.push(await target.into(edge, () => target.one(this.#rows.textsOf(edge).move, values)));
    }, isConstraintViolation);
    if (refused !== undefined || moved[0] !== true) return false;
    this.#deleted.add(nameOf(old));
    return true;
  }

  async #whole(work: () => Promise<void>, isOne: (error: unknown) => boolean): Promise<unknown> {
    if (this.#care !== 'folded')
      return this.#writer.transaction.whole(work, isOne, this.#care === 'parking strictly');
    await work();
    return undefined;
  }

  /** The common case in one statement, and no savepoint: a row that is what the service's client saw. */
  async #agrees(asked: Asked): Promise<boolean> {
    const { edge, key, before, after, changes } = asked;
    if (!changes || this.#care !== 'folded') return false;
    const { agreed } = this.#rows.textsOf(edge);
    const { target } = this.#context;
    const one = (text: string, values: Image): Promise<boolean> =>
      target.into(edge, () => target.one(text, [...key, ...values]));
    if (!before) return one(agreed.insert, after ?? []);
    if (after) {
      if (agreed.update === undefined || this.#rows.remembers(edge)) return false;
      return one(agreed.update, [...after, ...before]);
    }
    const gone = await one(agreed.remove, before);
    if (gone) this.#deleted.add(nameOf(asked));
    return gone;
  }

  /** The service has taken a reset: what follows in its stream was made on top of it. */
  async taken(table: string, key: readonly string[]): Promise<void> {
    await this.#writer.transaction.begin();
    await this.#context.target.client.query(
      'DELETE FROM banyan.awaited WHERE flow = $1 AND source_table = $2 AND key = $3',
      [this.#context.plan.flow, table, key],
    );
  }

  async #judge(asked: Asked, source: Source): Promise<void> {
    for (let looks = 1; ; looks++) {
      const look = await this.#rows.look(asked);
      const stands = look.present && this.#stands(asked, source);
      const standing = stands ? 'conflict' : standingOf({ ...asked, ...look });
      let verdict: Verdict = 'owner';
      let reason: Reason | undefined;
      if (standing === 'conflict') {
        reason = reasonOf(asked, look);
        verdict = this.#verdict(asked, look, source);
        // Of a row that is gone, a part knows some columns only; and no other row knows the rest.
        if (
          verdict === 'service' &&
          !look.present &&
          asked.after &&
          this.#rows.isPartial(asked.edge)
        ) {
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
        if (again && (await this.#rows.look(asked)).present) continue;
        reason = sqlState(refused) === '23505' ? 'unique' : 'foreign key';
        verdict = 'owner';
        // Which two rows cannot both be: the change's own, and the one that has its value.
        const other = await this.#rows.inTheWay(asked, look, refused);
        await this.#record({ asked, look: { ...look, ...other }, source, reason, verdict });
      } else if (reason) await this.#record({ asked, look, source, reason, verdict });
      if (reason !== undefined && look.present && !asked.edge.driver)
        this.#stood.set(nameOf(asked), transactionOf(source));
      await this.#answer(asked, look, reason !== undefined);
      return;
    }
  }

  /** Whether a row that is to go stays for the sake of a part that the same transaction could not change. */
  #stands(asked: Asked, source: Source): boolean {
    return (
      this.#stood.size > 0 &&
      asked.edge.driver &&
      asked.after === null &&
      this.#stood.get(nameOf(asked)) === transactionOf(source)
    );
  }

  /** Gives a key violation; any other refusal is thrown. */
  #apply(asked: Asked, present: boolean): Promise<unknown> {
    const { update, insert, remove } = this.#rows.textsOf(asked.edge);
    const { target } = this.#context;
    const run = async (text: string | undefined, image: Image): Promise<void> => {
      if (text !== undefined)
        await target.into(asked.edge, () => rawRows(target.client, text, [...asked.key, ...image]));
    };
    return this.#whole(async () => {
      if (asked.after) {
        await run(present ? update : insert, asked.after);
        if (present) this.#rows.written(asked);
      } else {
        await run(remove, []);
        this.#deleted.add(nameOf(asked));
      }
    }, isKeyViolation);
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
}

/** The service's, which its changes share. */
function transactionOf({ position }: Source): string {
  return position.slice(0, position.lastIndexOf('/'));
}
