// Decimal numbers between PostgreSQL's text and Kafka Connect's Decimal: base64 of the unscaled
// value, two's complement, big-endian.

/** An unscaled value and the number of digits behind the point; undefined for NaN and infinities. */
export interface Unscaled {
  readonly value: bigint;
  readonly scale: number;
}

const DECIMAL = /^(-?)(\d+)(?:\.(\d+))?$/;
const TRAILING_ZEROS = /0+$/;

export function parseDecimal(text: string): Unscaled | undefined {
  const match = DECIMAL.exec(text);
  if (!match) return undefined;
  const [, sign = '', whole = '', fraction = ''] = match;
  return { value: BigInt(sign + whole + fraction), scale: fraction.length };
}

/** The same number with this many digits behind the point. */
export function withScale({ value, scale }: Unscaled, wanted: number): bigint {
  if (wanted >= scale) return value * 10n ** BigInt(wanted - scale);
  return value / 10n ** BigInt(scale - wanted);
}

/** Without zeros at the end of the fraction, as Java's `stripTrailingZeros` with no negative scale. */
export function stripped({ value, scale }: Unscaled): Unscaled {
  if (scale === 0) return { value, scale };
  if (value === 0n) return { value, scale: 0 };
  const zeros = TRAILING_ZEROS.exec(value.toString())?.[0].length ?? 0;
  const fewer = Math.min(zeros, scale);
  return { value: value / 10n ** BigInt(fewer), scale: scale - fewer };
}

export function printDecimal(value: bigint, scale: number): string {
  if (scale <= 0) return (value * 10n ** BigInt(-scale)).toString();
  const digits = (value < 0n ? -value : value).toString().padStart(scale + 1, '0');
  const point = digits.length - scale;
  return `${value < 0n ? '-' : ''}${digits.slice(0, point)}.${digits.slice(point)}`;
}

const FIT_IN_NUMBER = 2n ** 47n;

/** Java's `BigInteger.toByteArray`: as few bytes as hold the value and its sign. */
export function unscaledToBase64(value: bigint): string {
  if (value < FIT_IN_NUMBER && value >= -FIT_IN_NUMBER) {
    const small = Number(value);
    let length = 1;
    for (let limit = 128; small >= limit || small < -limit; limit *= 256) length += 1;
    const bytes = Buffer.allocUnsafe(length);
    bytes.writeIntBE(small, 0, length);
    return bytes.toString('base64');
  }
  let length = 7;
  while (value >= 1n << BigInt(length * 8 - 1) || value < -(1n << BigInt(length * 8 - 1)))
    length += 1;
  const hex = BigInt.asUintN(length * 8, value).toString(16);
  return Buffer.from(hex.padStart(length * 2, '0'), 'hex').toString('base64');
}

export function base64ToUnscaled(text: string): bigint {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.length === 0) return 0n;
  return BigInt.asIntN(bytes.length * 8, BigInt(`0x${bytes.toString('hex')}`));
}
