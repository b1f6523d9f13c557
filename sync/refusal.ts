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

/** Rows have taken keys over from each other: they are to be written one by one. */
export class EntangledKeys extends Error {
  override readonly name = 'EntangledKeys';
}

/** 23503: foreign key, 23505: unique. Coalescing may have caused it; source order never does. */
export function isKeyViolation(error: unknown): boolean {
  const state = sqlState(error);
  return state === '23503' || state === '23505';
}

/** 23: any constraint. */
export function isConstraintViolation(error: unknown): boolean {
  return sqlState(error)?.startsWith('23') ?? false;
}

/** The data's own fault, which neither order nor time mends: a value, or a constraint. */
export function isRefusal(error: unknown): boolean {
  return (
    error instanceof LensError ||
    error instanceof ForeignRowError ||
    error instanceof EntangledKeys ||
    /^2[23]/.test(sqlState(error) ?? '')
  );
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
      hint: 'Nothing was lost. Bring mapping and schema back together: the flow tries again by itself, and at once after `banyan sync resume`.',
      cause: error,
    });
  if (error instanceof ForeignRowError)
    return new BanyanError('FLOW_STOPPED', error.message, {
      hint: 'Give one of the two rows another key; then the change can be retried.',
      cause: error,
    });
  const state = sqlState(error);
  // 22: data exceptions, 23: integrity constraints, 42: schema errors, BN: somebody else's fence.
  if (state !== undefined && /^(22|23|42|BN)/.test(state)) {
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
