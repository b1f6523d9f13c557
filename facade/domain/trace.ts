// The traceparent field of W3C Trace Context (level 1): read strictly, as the recommendation says,
// because a garbled parent is worse than none.

export interface TraceParent {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** 16 hexadecimal digits: the span that asks. */
  readonly spanId: string;
  readonly sampled: boolean;
}

const FIELD = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** Undefined for whatever is no valid traceparent. */
export function parseTraceParent(value: string | undefined): TraceParent | undefined {
  const [, version = '', traceId = '', spanId = '', flags = '', rest] =
    FIELD.exec(value ?? '') ?? [];
  // Version ff is forbidden, and version 00 has four parts; a later one may have more.
  if (version === '' || version === 'ff' || (version === '00' && rest !== undefined))
    return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

export function formatTraceParent({ traceId, spanId, sampled }: TraceParent): string {
  return `00-${traceId}-${spanId}-${sampled ? '01' : '00'}`;
}
