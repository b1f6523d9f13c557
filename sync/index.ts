// Public entry point `banyan/sync`: the sync layer as a part of a team's own process, and the checks
// that go with it.
export { syncPart } from './process.ts';
export type { SyncOptions } from './kept-flow.ts';
export { relayPart, type RelayPartOptions } from './kafka/process.ts';
export { relayMetrics } from './kafka/relay-metrics.ts';
export { flowMetrics } from './flow-metrics.ts';
export type { Finding } from './domain/finding.ts';
export { listConflicts, type ConflictLine } from './conflicts.ts';
export {
  lettersAfterRetry,
  listLetters,
  rereadLetters,
  retryLetters,
  skipLetter,
  type Appliers,
  type LetterLine,
} from './letter-box.ts';
export { recopy } from './recopy.ts';
export { preflight } from './preflight.ts';
export { verify, type VerifyOptions, type VerifyProgress, type VerifySample } from './verify.ts';
export type { ChangeLog } from './change-log.ts';
