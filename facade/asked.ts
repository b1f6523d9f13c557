// A question to an upstream on the toolkit's own behalf, and what came of it.
import type { Answer } from './domain/compare.ts';
import type { Trace } from './tracing.ts';

export interface Question {
  readonly method: string;
  readonly target: string;
  readonly headers: readonly string[];
  readonly body?: Buffer | undefined;
  /** Of the client's request, where it is sampled. */
  readonly trace?: Trace | undefined;
}

export type Asked =
  | { readonly kind: 'answer'; readonly answer: Answer }
  | { readonly kind: 'too-large' }
  /** The memory of all copies was full. */
  | { readonly kind: 'no-room' }
  /** No usable answer; `why` tells kinds of failures apart and never names an upstream. */
  | { readonly kind: 'silent'; readonly why: string };
