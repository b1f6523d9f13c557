// What a worker and the process that leads it say to each other over Node's IPC.
import type { ErrorCode } from '../core/errors.ts';

export type ToWorker =
  | { readonly banyan: 'stop' }
  | { readonly banyan: 'ask'; readonly id: number; readonly what: 'figures' | 'state' };

export type FromWorker =
  /** Before it registers in the control database. */
  | { readonly banyan: 'replica'; readonly id: string }
  | { readonly banyan: 'listening'; readonly url: string }
  | { readonly banyan: 'ending' }
  /** It cannot start or go on; it ends after this. */
  | {
      readonly banyan: 'failed';
      readonly code: ErrorCode | undefined;
      readonly message: string;
      readonly hint: string | undefined;
    }
  | { readonly banyan: 'answer'; readonly id: number; readonly value: unknown };

/** Other users of the channel (Node's own cluster messages) are not ours. */
export function isOurs(message: unknown): message is { banyan: string } {
  return typeof message === 'object' && message !== null && 'banyan' in message;
}
