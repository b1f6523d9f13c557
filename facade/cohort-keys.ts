// The keys of cohorts that the facade gives out itself: a random id, signed, because under a write canary
// the key chooses the side that a client writes to, and nobody may choose that for himself.
import type { KeyObject } from 'node:crypto';
import { isSigned, sign } from './mac.ts';

export interface CohortKeys {
  /** A cookie's value for this id; the id alone while there is no key to sign with. */
  sign(id: string): string;
  isSigned(value: string): boolean;
}

/** `key` signs; undefined while it is not known. */
export function createCohortKeys(key: () => KeyObject | undefined): CohortKeys {
  return {
    sign: (id) => {
      const secret = key();
      return secret ? `${id}.${sign(secret, textOf(id))}` : id;
    },
    isSigned: (value) => {
      const dot = value.indexOf('.');
      const secret = key();
      return (
        secret !== undefined &&
        dot >= 0 &&
        isSigned(secret, textOf(value.slice(0, dot)), value.slice(dot + 1))
      );
    },
  };
}

/** Nothing else that is signed with this key begins like that. */
function textOf(id: string): string {
  return `cohort ${id}`;
}
