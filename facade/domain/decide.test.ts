import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { defineMigration } from '../../control/define.ts';
import type { MigrationInput } from '../../control/definition.ts';
import { PHASES, type Phase } from '../../control/domain/phase.ts';
import { initialState, type CapabilityState } from '../../control/domain/state.ts';
import { decide, type Decision, type RequestFacts } from './decide.ts';
import { compileRoutes } from './routes.ts';

type CapabilityInput = MigrationInput['capabilities'][string];

const RULES: NonNullable<CapabilityInput['canary']> = {
  rules: [
    { header: 'User-Agent', matches: 'iphone', to: 'service' },
    { header: 'user-agent', matches: 'android', to: 'monolith' },
    { cookie: 'beta', matches: '^yes$', to: 'service' },
    { query: 'path', matches: 'new', to: 'service' },
    { header: 'x-banyan-path', matches: 'service', to: 'service' },
  ],
};

interface Given {
  readonly method?: string;
  readonly segments?: readonly string[];
  readonly requestId?: string;
  readonly certain?: boolean;
  readonly headers?: Record<string, string>;
  readonly cookies?: Record<string, string>;
  readonly queries?: Record<string, string>;
  readonly claims?: Record<string, string>;
}

function facts(given: Given): RequestFacts {
  return {
    takenMethod: given.method ?? 'GET',
    segments: given.segments ?? ['products'],
    certain: given.certain ?? true,
    requestId: given.requestId ?? 'r',
    header: (name) => given.headers?.[name],
    cookie: (name) => given.cookies?.[name],
    query: (name) => given.queries?.[name],
    claim: (name) => given.claims?.[name],
    freshCohort: () => 'fresh',
  };
}

function decideFor(
  state: Partial<CapabilityState>,
  given: Given = {},
  input: Partial<CapabilityInput> = {},
  leaseValid = true,
  awaitsOwnWrites = false,
): Decision {
  const { capabilities } = defineMigration({
    monolith: { upstream: 'http://m' },
    services: { s: { upstream: 'http://s' } },
    capabilities: { catalog: { service: 's', routes: ['/products'], ...input } },
  });
  const states = new Map([['catalog', { ...initialState('catalog'), ...state }]]);
  return decide(compileRoutes(capabilities), states, facts(given), {
    leaseValid: () => leaseValid,
    wroteAt: () => (awaitsOwnWrites ? 'monolith' : undefined),
    isVerified: () => true,
  });
}

function pathOf(decision: Decision): string {
  return decision.kind === 'forward' ? decision.to : decision.kind;
}

describe('the phase table', () => {
  const table: Record<Phase, [read: string, write: string]> = {
    monolith: ['monolith', 'monolith'],
    sync: ['monolith', 'monolith'],
    shadow: ['monolith', 'monolith'],
    canary: ['service', 'monolith'],
    cutover: ['service', 'service'],
    retired: ['service', 'service'],
  };
  test.each(PHASES)('in %s', (phase) => {
    const state = { phase, weight: 100 };
    expect(pathOf(decideFor(state))).toBe(table[phase][0]);
    expect(pathOf(decideFor(state, { method: 'POST' }))).toBe(table[phase][1]);
  });

  test.each(PHASES)('while %s is held, writes wait and reads go on', (phase) => {
    const state = { phase, weight: 100, holding: true };
    expect(pathOf(decideFor(state, { method: 'POST' }))).toBe('hold');
    expect(pathOf(decideFor(state))).toBe(table[phase][0]);
  });

  test('what nobody claims is untouched in every phase', () => {
    for (const phase of PHASES)
      expect(decideFor({ phase, holding: true }, { method: 'POST', segments: ['orders'] })).toEqual(
        {
          kind: 'unclaimed',
        },
      );
  });

  test('only reads in shadow are copied', () => {
    for (const phase of PHASES)
      for (const method of ['GET', 'POST'])
        expect(decideFor({ phase }, { method })).toMatchObject({
          kind: 'forward',
          shadow: phase === 'shadow' && method === 'GET',
        });
  });

  test('nothing is forwarded for a capability of unknown state', () => {
    const { capabilities } = defineMigration({
      monolith: { upstream: 'http://m' },
      services: { s: { upstream: 'http://s' } },
      capabilities: { catalog: { service: 's', routes: ['/products'] } },
    });
    const decision = decide(compileRoutes(capabilities), new Map(), facts({}), {
      leaseValid: () => true,
      wroteAt: () => undefined,
      isVerified: () => true,
    });
    expect(decision).toMatchObject({ kind: 'refuse', why: 'state-unknown' });
  });

  test('without tables, a replica that may have been left behind refuses writes', () => {
    const post = { method: 'POST' };
    expect(decideFor({}, post, {}, false)).toMatchObject({ kind: 'refuse', why: 'lease-lapsed' });
    expect(pathOf(decideFor({}, {}, {}, false))).toBe('monolith');
  });
});

describe('canary', () => {
  const canary: Partial<CapabilityState> = { phase: 'canary', weight: 0 };
  const by = (given: Given): string => pathOf(decideFor(canary, given, { canary: RULES }));

  test('rules come before the weight, and the first that matches wins', () => {
    expect(by({ headers: { 'user-agent': 'Mozilla (iPhone)' } })).toBe('service');
    expect(by({ headers: { 'user-agent': 'iPhone pretending Android' } })).toBe('service');
    expect(by({ cookies: { beta: 'yes' } })).toBe('service');
    expect(by({ cookies: { beta: 'yes!' } })).toBe('monolith');
    expect(by({ queries: { path: 'new' } })).toBe('service');
    const all = decideFor(
      { ...canary, weight: 100 },
      { headers: { 'user-agent': 'ANDROID' } },
      { canary: RULES },
    );
    expect(pathOf(all)).toBe('monolith');
  });

  test('a client without a cohort gets the cookie, and goes where the cookie will take it', () => {
    for (const weight of [0, 40, 60, 100]) {
      const first = decideFor({ ...canary, weight });
      expect(first).toMatchObject({ kind: 'forward', setCohort: 'fresh' });
      const next = decideFor({ ...canary, weight }, { cookies: { banyan_cohort: 'fresh' } });
      expect(next).toMatchObject({ setCohort: undefined });
      expect(pathOf(next)).toBe(pathOf(first));
    }
  });

  test('the cookie is set in canary only, and never one of a team’s own', () => {
    for (const phase of PHASES)
      if (phase !== 'canary') expect(decideFor({ phase })).toMatchObject({ setCohort: undefined });
    const own = { canary: { cohort: { cookie: 'session' } } };
    expect(decideFor(canary, {}, own)).toMatchObject({ setCohort: undefined, to: 'monolith' });
  });

  test('without a key nobody moves before everybody does', () => {
    const input = { canary: { cohort: { header: 'X-User' } } };
    const to = (weight: number, given: Given): string =>
      pathOf(decideFor({ ...canary, weight }, given, input));
    expect(to(99.99, {})).toBe('monolith');
    expect(to(100, {})).toBe('service');
    expect(to(100, { headers: { 'x-user': 'ada' } })).toBe('service');
  });

  test('a claim keeps its bearer on his side', () => {
    const input = { canary: { cohort: { claim: 'sub' } } };
    const to = (sub: string): string =>
      pathOf(decideFor({ ...canary, weight: 50 }, { claims: { sub } }, input));
    const paths = Array.from({ length: 40 }, (_, nth) => to(`user ${nth}`));
    expect(new Set(paths).size).toBe(2);
    expect(paths).toEqual(Array.from({ length: 40 }, (_, nth) => to(`user ${nth}`)));
    expect(decideFor(canary, {}, input)).toMatchObject({ to: 'monolith', setCohort: undefined });
  });

  test('raising the weight moves nobody back', () => {
    fc.assert(
      fc.property(
        fc.string({ minLength: 1 }),
        fc.integer({ min: 0, max: 10_000 }),
        fc.integer({ min: 0, max: 10_000 }),
        (key, a, b) => {
          const [small, large] = a < b ? [a, b] : [b, a];
          const at = (weight: number): string =>
            pathOf(
              decideFor({ ...canary, weight: weight / 100 }, { cookies: { banyan_cohort: key } }),
            );
          expect([at(small), at(large)]).not.toEqual(['service', 'monolith']);
        },
      ),
    );
  });
});

test('the reads of a small sample are among those of a larger one', () => {
  fc.assert(
    fc.property(
      fc.uuid(),
      fc.integer({ min: 0, max: 100 }),
      fc.integer({ min: 0, max: 100 }),
      (requestId, a, b) => {
        const [small, large] = a < b ? [a, b] : [b, a];
        const copied = (percent: number): boolean => {
          const shadow = { sample: percent / 100 };
          const decision = decideFor({ phase: 'shadow' }, { requestId }, { shadow });
          return decision.kind === 'forward' && decision.shadow;
        };
        expect(copied(small) && !copied(large)).toBe(false);
      },
    ),
  );
});

describe('a target that some could read as another route', () => {
  const AMBIGUOUS = { certain: false };
  const WRITE = { ...AMBIGUOUS, method: 'POST' };

  test.each(PHASES)('never goes to the service (%s)', (phase) => {
    for (const given of [AMBIGUOUS, WRITE]) {
      const found = pathOf(decideFor({ phase, weight: 100 }, given));
      const isService = phase === 'cutover' || phase === 'retired';
      expect(found).toBe(isService ? 'refuse' : 'monolith');
    }
  });

  test('is not copied to the service, and waits for a switch like any other', () => {
    expect(decideFor({ phase: 'shadow' }, AMBIGUOUS)).toMatchObject({ shadow: false });
    expect(pathOf(decideFor({ phase: 'canary', holding: true }, WRITE))).toBe('hold');
  });
});
