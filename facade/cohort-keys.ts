// The keys of cohorts that the facade gives out itself: a random id, signed, because under a write canary
// the key chooses the side that a client writes to, and nobody may choose that for himself.
import { createHmac, timingSafeEqual } from 'node:crypto';

export interface CohortKeys {
  /** A cookie's value for this id; the id alone while there is no key to sign with. */
  sign(id: string): string;
  isSigned(value: string): boolean;
}

const SIGNATURE_BYTES = 16;

/** `key` signs; undefined while it is not known. */
export function createCohortKeys(key: () => Buffer | undefined): CohortKeys {
  const macOf = (id: string): Buffer | undefined => {
    const secret = key();
    // Nothing else that is signed with this key begins like that.
    const mac = secret && createHmac('sha256', secret).update(`cohort ${id}`).digest();
    return mac?.subarray(0, SIGNATURE_BYTES);
  };
  return {
    sign: (id) => {
      const mac = macOf(id);
      return mac ? `${id}.${mac.toString('base64url')}` : id;
    },
    isSigned: (value) => {
      const dot = value.indexOf('.');
      const expected = dot < 0 ? undefined : macOf(value.slice(0, dot));
      const given = Buffer.from(value.slice(dot + 1), 'base64url');
      return (
        expected !== undefined &&
        given.length === SIGNATURE_BYTES &&
        timingSafeEqual(given, expected)
      );
    },
  };
}
