// Money between the contract's decimal strings and the tables' cents; exact, no float on the way.

/** "12.5" → 1250. Takes what the contract's pattern lets through: at most twelve digits. */
export function toCents(decimal: string): number {
  const [whole = '0', fraction = ''] = decimal.split('.');
  return Number(whole) * 100 + Number(fraction.padEnd(2, '0'));
}

/** 1250 → "12.50". */
export function toDecimal(cents: number): string {
  return `${Math.floor(cents / 100)}.${String(cents % 100).padStart(2, '0')}`;
}
