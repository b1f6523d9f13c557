import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  flowsOf,
  ownerOf,
  PHASES,
  takesOwnership,
  TRANSITIONS,
  type Outcome,
  type Phase,
} from './phase.ts';

const EVENTS = ['advance', 'rollback', 'weight'] as const;

test('every phase answers every event, and each refusal says why', () => {
  for (const phase of PHASES)
    for (const event of EVENTS) {
      const outcome = TRANSITIONS[phase][event];
      if (outcome.kind === 'refused') expect(outcome.why).not.toBe('');
      else expect(PHASES).toContain(outcome.to);
    }
});

test('any walk moves one step at a time, and what it took forward it can take back, until retired', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...EVENTS), { maxLength: 40 }), (events) => {
      let phase: Phase = 'monolith';
      for (const event of events) {
        const outcome: Outcome = TRANSITIONS[phase][event];
        if (phase === 'retired') expect(outcome.kind).toBe('refused');
        if (outcome.kind === 'refused') continue;
        const distance = PHASES.indexOf(outcome.to) - PHASES.indexOf(phase);
        expect(distance).toBe({ advance: 1, rollback: -1, weight: 0 }[event]);
        phase = outcome.to;
      }
    }),
  );
});

test('ownership changes hands between canary and cutover and nowhere else', () => {
  for (const from of PHASES)
    for (const event of EVENTS) {
      const outcome = TRANSITIONS[from][event];
      if (outcome.kind === 'refused') continue;
      const pair = [from, outcome.to].sort().join();
      expect(takesOwnership(from, outcome.to)).toBe(pair === 'canary,cutover');
    }
});

test('whoever does not own has a flow from the owner, and both run around a switch', () => {
  for (const leaves of ['nothing', 'copy'] as const)
    for (const phase of PHASES) {
      expect(flowsOf(phase, { hasTables: false, leaves })).toEqual({ to: false, back: false });
      const flows = flowsOf(phase, { hasTables: true, leaves });
      if (phase === 'sync' || phase === 'shadow') expect(flows).toEqual({ to: true, back: false });
      if (phase === 'canary' || phase === 'cutover')
        expect(flows).toEqual({ to: true, back: true });
      if (phase === 'retired') expect(flows.back).toBe(leaves === 'copy');
      if (ownerOf(phase) === 'service' && phase !== 'retired') expect(flows.back).toBe(true);
    }
});
