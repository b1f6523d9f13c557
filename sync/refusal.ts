// What a target's refusal means: a key violation that source order may avoid, an error of the data
// that somebody must mend, or none of our business.
import { BanyanError, messageOf } from '../core/errors.ts';
import { sqlState } from '../core/postgres/connect.ts';
import { LensError } from './domain/lens.ts';
import { MappingError } from './domain/mapping.ts';
import type { Refusal } from './parking.ts';

/** A row that "where" leaves to the target's owner has the key of one that is to be put in. */
export class ForeignRowError extends Error {
  override readonly name = 'ForeignRowError';

  constructor(table: string, rows: readonly { readonly key: readonly string[] }[]) {
    const keys = rows.slice(0, 3).map(({ key }) => `(${key.join(', ')})`);
    super(
      `a row of ${table} that does not belong to the capability has the key of one of ${keys.join(', ')}`,
    );
  }
}

/** 23503: foreign key, from PostgreSQL 18 on 23001 where it says RESTRICT; 23505: unique. Coalescing may have caused it; source order never does. */
export function isKeyViolation(error: unknown): boolean {
  return isForeignKey(error) || sqlState(error) === '23505';
}

export function isForeignKey(error: unknown): boolean {
  const state = sqlState(error);
  return state === '23503' || state === '23001';
}

/** 23: any constraint. */
export function isConstraintViolation(error: unknown): boolean {
  return sqlState(error)?.startsWith('23') ?? false;
}

/**
 * 22, 23: values and constraints. 54000: a value too long for an index. 21, 38, 39, P0: what goes wrong
 * inside a trigger, or is raised there.
 */
const OF_THE_DATA = /^(2[123]|3[89]|P0|54000)/;
/** PostgreSQL's other classes, and ours: that is not about a row. */
const OF_THE_SERVER = /^(0[0-3]|0[89ABFLPZ]|10|2[0-8BDF]|3[48BDF]|4[024]|5[3-578]|72|F0|HV|XX|BN)/;

/** The data's own fault, which neither order nor time mends: a value, a constraint, a word of a trigger's own. */
export function isRefusal(error: unknown): boolean {
  if (error instanceof LensError || error instanceof ForeignRowError) return true;
  const state = sqlState(error);
  return state !== undefined && (OF_THE_DATA.test(state) || !OF_THE_SERVER.test(state));
}

/** 40P01: deadlock with the application, 40001: serialization, 55P03: a lock timeout. The same batch may pass now. */
export function isTransient(error: unknown): boolean {
  return ['40P01', '40001', '55P03'].includes(sqlState(error) ?? '');
}

/** A refusal as a dead letter keeps it. */
export function refusalOf(error: unknown): Refusal {
  return { message: messageOf(explain(error)), sqlState: sqlState(error) ?? null };
}

/** Errors of the data become FLOW_STOPPED with what is needed to mend them; the rest stays as it is. */
export function explain(error: unknown): unknown {
  if (error instanceof LensError)
    return new BanyanError('FLOW_STOPPED', `a value cannot be mapped: ${error.message}`, {
      hint: 'Add the value to the mapping and start sync again, or correct the row: the flow tries again by itself, and at once after `banyan sync resume`.',
      cause: error,
    });
  if (error instanceof MappingError)
    return new BanyanError('FLOW_STOPPED', error.message, {
      hint: `Nothing was lost. ${error.hint ?? 'Bring mapping and schema back together'}: the flow tries again by itself, and at once after \`banyan sync resume\`.`,
      cause: error,
    });
  if (error instanceof ForeignRowError)
    return new BanyanError('FLOW_STOPPED', error.message, {
      hint: 'Give one of the two rows another key; then the change can be retried.',
      cause: error,
    });
  const state = sqlState(error);
  if (state === '42501')
    return new BanyanError('FLOW_STOPPED', `a role of ours may not do this: ${messageOf(error)}`, {
      hint: '`banyan preflight` names the right that is missing. Nothing is skipped: the flow tries again by itself, and at once after `banyan sync resume`.',
      cause: error,
    });
  // 42: schema errors, BN: somebody else's fence.
  if (state !== undefined && (isRefusal(error) || /^(42|BN)/.test(state))) {
    const { detail, table } = error as { detail?: string; table?: string };
    return new BanyanError(
      'FLOW_STOPPED',
      `the target refused a change${table === undefined ? '' : ` of ${table}`}: ${state} ${messageOf(error)}${detail === undefined ? '' : ` (${detail})`}`,
      {
        hint: 'Mend what it names: nothing is skipped. The flow tries again by itself, and at once after `banyan sync resume`.',
        cause: error,
      },
    );
  }
  return error;
}
