// What the definition says of one capability's traffic, made ready for the hot path: rules as
// compiled patterns, the cohort's source, the share of shadow copies.
import type { Capability, Rule } from '../../control/definition.ts';
import type { Owner } from '../../control/domain/phase.ts';

export interface CompiledRule {
  readonly source: 'header' | 'cookie' | 'query';
  /** Header names in lower case; cookie and query names as they are. */
  readonly name: string;
  readonly pattern: RegExp;
  readonly to: Owner;
}

export interface CohortSource {
  readonly source: 'header' | 'cookie' | 'claim';
  readonly name: string;
  /** Whether the facade gives a client without a key one: only its own cookie, never a team's. */
  readonly given: boolean;
}

export interface Policy {
  readonly capability: string;
  /** Name of the service under `services`. */
  readonly service: string;
  readonly rules: readonly CompiledRule[];
  readonly cohort: CohortSource;
  /** Whether a write canary may be open: then only a key that nobody can make up counts for writes. */
  readonly writes: boolean;
  /** Share of the reads that is copied in `shadow`, 0 to 1. */
  readonly sample: number;
  /** Whether a read may be answered by the other path when its own fails. */
  readonly fallback: boolean;
  /** Without tables no fence stands behind the facade. */
  readonly hasTables: boolean;
}

/** The cookie that the facade sets by itself. */
export const OWN_COOKIE = 'banyan_cohort';

const COOKIE_AGE_S = 31_536_000;

/** The Set-Cookie that gives a client its cohort. */
export function cohortCookie(value: string): string {
  return `${OWN_COOKIE}=${value}; Path=/; Max-Age=${COOKIE_AGE_S}; HttpOnly; SameSite=Lax`;
}

export function compilePolicy(name: string, capability: Capability): Policy {
  return {
    capability: name,
    service: capability.service,
    rules: capability.canary.rules.map(compileRule),
    cohort: cohortOf(capability.canary.cohort),
    writes: capability.canary.writes,
    sample: capability.shadow.sample,
    fallback: capability.fallback,
    hasTables: capability.tables.length > 0,
  };
}

function cohortOf({ header, claim, cookie }: Capability['canary']['cohort']): CohortSource {
  if (header !== undefined) return { source: 'header', name: header.toLowerCase(), given: false };
  if (claim !== undefined) return { source: 'claim', name: claim, given: false };
  const name = cookie ?? OWN_COOKIE;
  return { source: 'cookie', name, given: name === OWN_COOKIE };
}

function compileRule(rule: Rule): CompiledRule {
  const { to } = rule;
  const pattern = new RegExp(rule.matches, 'i');
  if (rule.header !== undefined)
    return { source: 'header', name: rule.header.toLowerCase(), pattern, to };
  if (rule.cookie !== undefined) return { source: 'cookie', name: rule.cookie, pattern, to };
  return { source: 'query', name: rule.query ?? '', pattern, to };
}
