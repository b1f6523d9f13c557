// Asks a relay's source and its topics where it may go on, and says what stands in the way. Nothing is
// written before that: what is wrong in a topic could not be taken back.
import type pg from 'pg';
import { BanyanError } from '../../core/errors.ts';
import { withClient } from '../../core/postgres/connect.ts';
import { formatLsn, parseLsn, type Lsn, type Position } from '../../core/postgres/lsn.ts';
import { RELAY_ANEW as ANEW, relayLife, unnoted } from '../../control/relay.ts';
import { systemOf } from '../../control/slots.ts';
import {
  isSettled,
  stand,
  type Ending,
  type ReportedChain,
  type Settles,
  type SlotStanding,
  type Verdict,
} from '../domain/footing.ts';
import type { Footing } from '../domain/debezium/chain.ts';
import { timelineFor } from '../slot.ts';

export interface FootingOptions {
  readonly url: string;
  /** A session there. */
  readonly client: pg.Client;
  readonly slot: string;
  readonly publication: string;
  /** How far the topics went, as the last relay reported it. */
  readonly before: Position | undefined;
  readonly chain?: ReportedChain | undefined;
  /** What the topics end with, from as far back as is needed; undefined when it was broken off. */
  readonly end: (isSettled: Settles) => Promise<Ending | undefined>;
}

/** What comes of the source is told here first. Throws FLOW_STOPPED where the topic would have it. */
export interface Watch {
  /** A transaction is about to be written. */
  sees(commitLsn: Lsn): void;
  /** Nothing waits that lies before this; gives whether that may be written, and then confirmed. */
  idles(lsn: Lsn): boolean;
}

/** Where a relay stands when it begins. */
export interface Stand {
  readonly footing: Footing;
  readonly watch: Watch;
}

/** What mends a relay whose source was promoted, and has lost what the topics have. */
const RECOPY =
  'Run `banyan sync recopy` for every capability whose changes come through this relay: it takes the new server as it is, in whatever phase they are.';

/**
 * To be called by the reader of the slot; undefined when the look at the topics was broken off. Throws
 * SLOT_LOST, KAFKA_LOG_LOST, FLOW_STOPPED.
 */
export async function findFooting(options: FootingOptions): Promise<Stand | undefined> {
  const { end, slot } = options;
  const standing = await standingOf(options);
  const ending = await end((marks, depth) => isSettled(standing, marks, depth));
  if (!ending) return undefined;
  const verdict = stand(standing, ending);
  if (verdict.kind !== 'goes on') throw refusal(slot, standing, verdict);
  const { footing, last, comesAgain } = verdict;
  if (last) await assertHistory(options, last);
  return { footing, watch: comesAgain ? whoComesAgain(slot, footing.last) : NOTHING };
}

async function standingOf({
  url,
  client,
  slot,
  publication,
  before,
  chain,
}: FootingOptions): Promise<SlotStanding> {
  const life = await relayLife(client, publication);
  if (!life) throw unnoted(slot, publication);
  const { rows } = await client.query<{ confirmed: string | null }>(
    'SELECT confirmed_flush_lsn AS confirmed FROM pg_replication_slots WHERE slot_name = $1',
    [slot],
  );
  const { system, timeline } = await systemOf(url);
  if (system !== life.system)
    throw new BanyanError(
      'SLOT_LOST',
      `the source of slot ${slot} is another server (${system}) than the one that the relay began at (${life.system})`,
      { hint: `Was it restored, or made anew? ${ANEW}` },
    );
  const confirmed = parseLsn(rows[0]?.confirmed ?? '0/0');
  return { life, timeline, confirmed, reported: before?.commitLsn, chain };
}

/** That the server has what the topic ends with. */
export async function assertHistory(
  { url, slot }: Pick<FootingOptions, 'url' | 'slot'>,
  last: Position,
): Promise<number> {
  return withClient(url, { applicationName: 'banyan-relay', replication: true }, async (client) => {
    const timeline = await timelineFor(client, slot, last, RECOPY);
    const { rows } = await client.query<{ xlogpos: string }>('IDENTIFY_SYSTEM');
    if (last.commitLsn > parseLsn(rows[0]?.xlogpos ?? '0/0'))
      throw setBack(
        slot,
        `the topics go to ${formatLsn(last.commitLsn)}, which the source of slot ${slot} has not written yet`,
      );
    return timeline;
  });
}

const NOTHING: Watch = { sees: () => undefined, idles: () => true };

/** Before anything else the last transaction of the topic must come; WAL that ends behind it without is another. */
function whoComesAgain(
  slot: string,
  { position: { commitLsn: last }, endLsn }: Footing['last'],
): Watch {
  let came = false;
  const assertCame = (isBehind: boolean, what: string): void => {
    if (isBehind && !came)
      throw setBack(
        slot,
        `the topics have a transaction that committed at ${formatLsn(last)}, and the source of slot ${slot} has none there: ${what}`,
      );
  };
  return {
    sees: (commitLsn) => {
      if (commitLsn === last) came = true;
      assertCame(commitLsn > last, `the next is at ${formatLsn(commitLsn)}`);
    },
    idles: (lsn) => {
      assertCame(lsn >= endLsn, `it has written up to ${formatLsn(lsn)}`);
      return came;
    },
  };
}

function setBack(slot: string, message: string): BanyanError {
  return new BanyanError('FLOW_STOPPED', message, {
    hint: `Was it restored from a backup, or was slot ${slot} moved on by hand? ${ANEW}`,
  });
}

function refusal(
  slot: string,
  { life, confirmed }: SlotStanding,
  verdict: Exclude<Verdict, { kind: 'goes on' }>,
): BanyanError {
  if (verdict.kind === 'lost')
    return new BanyanError(
      'KAFKA_LOG_LOST',
      `slot ${slot} has confirmed all up to ${formatLsn(confirmed)}, and the topics ${
        verdict.last ? `end at ${formatLsn(verdict.last.completeTo)}` : 'have nothing of it'
      }: what had been acknowledged is gone`,
      {
        hint: `Was a topic deleted, or cut off at its end? ${ANEW}`,
      },
    );
  const { position, life: other = 'unknown' } = verdict.last;
  return new BanyanError(
    'FLOW_STOPPED',
    `the topics have changes of another slot or server (${other}) up to ${formatLsn(position.commitLsn)}, and slot ${slot} begins at ${formatLsn(life.begins)}: the two could not be told apart`,
    {
      hint: `Was the source restored or made anew? ${ANEW} In between, give changeLog.kafka another prefix, or delete the topics.`,
    },
  );
}
