// The error catalogue: one class, one entry per code. Callers branch on `code` or on what the
// catalogue says of it (exit code, HTTP status, retryable), never on the message text.

interface Entry {
  /** Exit code of the command line. */
  readonly exit: number;
  /** Status of the admin API. */
  readonly http: number;
  /** Whether the same call may succeed later without anybody mending anything. */
  readonly retryable: boolean;
}

const entry = (exit: number, http: number, retryable = false): Entry => ({ exit, http, retryable });

export const CATALOGUE = {
  /** The command line was not understood. */
  USAGE: entry(2, 400),
  /** The configuration file is missing, does not load or does not validate. */
  CONFIG_INVALID: entry(2, 400),
  /** The configuration and a live database disagree: a table, column, key or setting is missing. */
  PREFLIGHT_FAILED: entry(2, 409),
  /** A database of the migration does not answer or refuses the login. */
  DATABASE_UNREACHABLE: entry(3, 503, true),
  /** The embedded PostgreSQL cannot be started here. */
  EMBEDDED_POSTGRES: entry(3, 500),
  /** Another process does already, beside the same definition, what only one can do. */
  ALREADY_RUNNING: entry(2, 409),
  /** No broker of Kafka answers, or the login is refused. */
  KAFKA_UNREACHABLE: entry(3, 503, true),
  /** Kafka answers and will not do it: a topic or a right is missing, a record is too large. */
  KAFKA_REFUSED: entry(3, 409),
  /** A topic is not there yet: the relay of its source makes it when it starts. */
  KAFKA_NO_TOPIC: entry(3, 409, true),
  /** Records that somebody still needs are gone from their topic: kept too briefly, or lost by the brokers. */
  KAFKA_LOG_LOST: entry(7, 500),
  /** Apache Kafka cannot be fetched or started here. */
  EMBEDDED_KAFKA: entry(3, 500),
  /** No capability of this name. */
  UNKNOWN_CAPABILITY: entry(2, 404),
  /** The phase table has no such move. */
  MOVE_NOT_ALLOWED: entry(4, 409),
  /** A gate refused the move; the figures are in the details. */
  GATE_REFUSED: entry(5, 409, true),
  /** Somebody else moves this capability now. */
  MOVE_IN_PROGRESS: entry(4, 409, true),
  /** A coordinator with a higher epoch has taken over: this one must not touch anything. */
  STALE_COORDINATOR: entry(4, 409),
  /** A switch of ownership was undone before its flip; the old owner goes on. */
  SWITCH_UNDONE: entry(6, 409, true),
  /** A step did not finish within its time. */
  TIMED_OUT: entry(6, 504, true),
  /** A gate turned red: the rollout has brought the traffic back. */
  ROLLED_BACK: entry(10, 409),
  /** A rollout waits for a human. */
  ROLLOUT_PAUSED: entry(11, 409),
  /** A flow stopped because going on would lose or garble data. */
  FLOW_STOPPED: entry(7, 500),
  /** The replication slot of a flow is gone or invalidated: the stream has a hole. */
  SLOT_LOST: entry(7, 500),
  /** The checkpoint was moved by another applier: this one is a zombie. */
  APPLIER_REPLACED: entry(7, 500),
  /** Two sides that should be equal are not. */
  VERIFY_DIFFERENT: entry(8, 409),
  /** The demo found a failed request, a lost or a doubled write. */
  DEMO_FAILED: entry(9, 500),
  /** Somebody ended the command before it was done; what it has done stands. */
  INTERRUPTED: entry(130, 503, true),
  /** A defect of the toolkit itself. */
  INTERNAL: entry(70, 500),
} as const satisfies Record<string, Entry>;

export type ErrorCode = keyof typeof CATALOGUE;

export interface ErrorOptions {
  /** What the reader can do about it, one sentence. */
  readonly hint?: string | undefined;
  /** Facts for machines (`--json`); never secrets. */
  readonly details?: unknown;
  readonly cause?: unknown;
}

/** Every expected failure of the toolkit. `message` says what happened, `hint` how to mend it. */
export class BanyanError extends Error {
  override readonly name = 'BanyanError';
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly details: unknown;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.details = options.details;
  }

  get retryable(): boolean {
    return CATALOGUE[this.code].retryable;
  }
}

/** True for an error of the catalogue, of the given code where one is named. */
export function isBanyanError(error: unknown, code?: ErrorCode): error is BanyanError {
  return error instanceof BanyanError && (code === undefined || error.code === code);
}

/** The message of whatever was thrown. */
export function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '')
    return error.errors.map(messageOf).join('; ');
  return error instanceof Error ? error.message : String(error);
}
