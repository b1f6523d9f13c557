// What webhooks have yet to be told: queued in the transaction of the event itself, so that none is
// forgotten, and claimed for a while by whoever delivers it, so that none is told by two at once.
import type { Knex } from 'knex';

export interface Delivery {
  /** The journal's line; the same one in every repetition. */
  readonly id: string;
  /** Its webhook's name. */
  readonly hook: string;
  readonly attempts: number;
  readonly body: string;
}

/** A delivery that its claimer did not end within this time is due again. */
const CLAIM_S = 30;
/** So many are done within that time, even where each of them runs into its limit of 5 s. */
const MOST_CLAIMED = 5;

/** `hooks`: the names of those to be told. */
export async function queueEvent(
  db: Knex.Transaction,
  journalId: string,
  capability: string,
  hooks: readonly string[],
): Promise<void> {
  if (hooks.length === 0) return;
  await db('banyan.webhook_delivery').insert(
    hooks.map((hook) => ({ journal_id: journalId, hook, capability })),
  );
}

/** The oldest that are due to one webhook, claimed. */
export async function claimDeliveries(
  db: Knex,
  capability: string,
  hook: string,
): Promise<Delivery[]> {
  const { rows } = await db.raw<{ rows: ClaimedRow[] }>(
    `WITH due AS (
       SELECT journal_id, hook FROM banyan.webhook_delivery
        WHERE capability = ? AND hook = ? AND delivered_at IS NULL AND NOT given_up
          AND next_at <= clock_timestamp()
        ORDER BY journal_id LIMIT ? FOR UPDATE SKIP LOCKED),
     claimed AS (
       UPDATE banyan.webhook_delivery d SET next_at = clock_timestamp() + make_interval(secs => ?)
         FROM due WHERE d.journal_id = due.journal_id AND d.hook = due.hook RETURNING d.*)
     SELECT c.journal_id AS id, c.attempts, j.capability, j.at, j.who, j.event, j.why,
            j.to_phase AS phase, j.evidence
       FROM claimed c JOIN banyan.journal j ON j.id = c.journal_id ORDER BY c.journal_id`,
    [capability, hook, MOST_CLAIMED, CLAIM_S],
  );
  return rows.map(({ attempts, ...told }) => ({
    ...{ id: told.id, hook, attempts },
    body: JSON.stringify(told),
  }));
}

export async function delivered(db: Knex, { id, hook }: Delivery): Promise<void> {
  await db('banyan.webhook_delivery')
    .where({ journal_id: id, hook })
    .update({
      delivered_at: db.raw('clock_timestamp()'),
      attempts: db.raw('attempts + 1'),
      error: null,
    });
}

/** To be tried again after `againMs`, or given up where that is undefined. */
export async function undelivered(
  db: Knex,
  { id, hook }: Delivery,
  error: string,
  againMs: number | undefined,
): Promise<void> {
  await db('banyan.webhook_delivery')
    .where({ journal_id: id, hook })
    .update({
      attempts: db.raw('attempts + 1'),
      error,
      given_up: againMs === undefined,
      next_at: db.raw('clock_timestamp() + make_interval(secs => ?)', [(againMs ?? 0) / 1_000]),
    });
}

/** How many are yet to be told, to one webhook or to all, and what the last failure was. */
export async function outstanding(
  db: Knex,
  capability: string,
  hook: string | null = null,
): Promise<{ readonly waiting: number; readonly givenUp: number; readonly error: string | null }> {
  const { rows } = await db.raw<{
    rows: { waiting: string; given_up: string; error: string | null }[];
  }>(
    `SELECT count(*) FILTER (WHERE NOT given_up) AS waiting, count(*) FILTER (WHERE given_up) AS given_up,
            max(error) AS error
       FROM banyan.webhook_delivery
      WHERE capability = ? AND delivered_at IS NULL AND hook = coalesce(?::text, hook)`,
    [capability, hook],
  );
  const [row] = rows;
  return {
    waiting: Number(row?.waiting ?? 0),
    givenUp: Number(row?.given_up ?? 0),
    error: row?.error ?? null,
  };
}

/** Finished ones are kept so long, for whoever asks what was told. */
const KEPT_DAYS = 30;

/**
 * Gives up what has been due for a day to webhooks that the definition does not have any more, and forgets
 * what was told, or given up, long ago.
 */
export async function tidyDeliveries(
  db: Knex,
  capability: string,
  hooks: readonly string[],
): Promise<void> {
  await db('banyan.webhook_delivery')
    .where({ capability, given_up: false })
    .whereNull('delivered_at')
    .whereNotIn('hook', [...hooks])
    .where('next_at', '<', db.raw("clock_timestamp() - interval '1 day'"))
    .update({ given_up: true, error: 'the definition has no such webhook any more' });
  await db('banyan.webhook_delivery')
    .where({ capability })
    .whereRaw('(delivered_at IS NOT NULL OR given_up)')
    .where('next_at', '<', db.raw('clock_timestamp() - make_interval(days => ?)', [KEPT_DAYS]))
    .delete();
}

interface ClaimedRow {
  id: string;
  attempts: number;
}
