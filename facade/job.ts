// What an exchange is given, and what it tells when it has ended.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Migration } from '../control/definition.ts';
import type { RequestHead } from './domain/headers.ts';
import type { Guard } from './guards.ts';
import type { ProblemName } from './problem.ts';
import type { Trace } from './tracing.ts';
import type { Upstream } from './upstreams.ts';

/** Sees the upstream's answer pass by; can neither delay nor change it. */
export interface Tap {
  /** The request's own body, before `head`; undefined where it is not, or is no more, known as a whole. */
  asked(body: Buffer | undefined): void;
  head(status: number, headers: readonly string[]): void;
  data(chunk: Buffer): void;
  end(): void;
  /** The answer did not come, or not whole. */
  fail(): void;
}

/** An upstream and what guards it on this route. */
export interface Way {
  readonly upstream: Upstream;
  readonly guard: Guard;
}

export interface Outcome {
  /** What the client got; 499 when it left, 502 also when the answer broke off. */
  readonly status: number;
  /** The upstream that was asked last. */
  readonly upstream: Upstream;
  readonly retries: number;
  readonly fellBack: boolean;
  /** Of the answer's body, as it was passed on. */
  readonly bytes: number;
  /** The problem that the client got instead of an answer. */
  readonly why: ProblemName | undefined;
}

export interface Job {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly way: Way;
  /** The other path, asked for when the first has failed; only for what may be repeated. */
  readonly fallback: (() => Way | undefined) | undefined;
  /** Path and query, as matched. */
  readonly target: string;
  readonly head: RequestHead;
  /** A repetition does no harm. */
  readonly repeatable: boolean;
  readonly timeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly retry: Migration['facade']['retry'];
  /** Whether a slow upload may still prolong the deadline. */
  readonly patient: () => boolean;
  /** Names and values to add to the answer, asked for when its head has come. */
  readonly added: () => readonly string[];
  readonly tap: Tap | undefined;
  /** The answer is an event stream, and this ends it. */
  readonly onEventStream: (from: Upstream, end: () => void) => void;
  readonly trace: Trace | undefined;
  /** An attempt failed; another may follow. */
  readonly onTrouble: (upstream: Upstream, error: Error) => void;
  /** Called once. */
  readonly done: (outcome: Outcome) => void;
}

/** Status that is counted, never sent, for a client that went away. */
export const CLIENT_GONE = 499;
