// A coordinator of this process that dies in the middle of what it does in the databases that take part.
import pg from 'pg';

/** Its next statements in participants fail after `budget` of them, its session lost. */
export function failing(budget: number): { readonly restore: () => void } {
  type Query = (...all: unknown[]) => unknown;
  const prototype = pg.Client.prototype as unknown as { query: Query };
  const original = prototype.query;
  let left = budget;
  prototype.query = function (this: unknown, ...all) {
    const { connectionParameters: given } = this as {
      connectionParameters: { application_name?: string };
    };
    const name = given.application_name ?? '';
    if (name === 'banyan-coordinator' && left-- <= 0)
      return Promise.reject(new Error('the coordinator is dead'));
    return original.apply(this, all);
  };
  return {
    restore: () => {
      prototype.query = original;
    },
  };
}
