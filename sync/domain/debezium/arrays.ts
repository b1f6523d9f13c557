// Array literals of PostgreSQL, of one or more dimensions: `{a,NULL,"b c"}`, `[0:1]={1,2}`.
import { BanyanError } from '../../../core/errors.ts';

export type Items = readonly (string | null | Items)[];

/** Elements as their own texts, null for NULL, lists for further dimensions. Bounds are dropped. */
export function parseArray(text: string): Items {
  const start = text.startsWith('[') ? text.indexOf('=') + 1 : 0;
  const { items, end } = parseItems(text, start);
  if (end !== text.length) throw notAnArray(text);
  return items;
}

/** True when the lower bound of each dimension is 1, which is what a literal without bounds means. */
export function hasPlainBounds(text: string): boolean {
  return !text.startsWith('[');
}

export function printArray(items: Items): string {
  return `{${items.map(printItem).join(',')}}`;
}

function parseItems(text: string, start: number): { items: Items; end: number } {
  if (text[start] !== '{') throw notAnArray(text);
  const items: (string | null | Items)[] = [];
  let at = start + 1;
  if (text[at] === '}') return { items, end: at + 1 };
  for (;;) {
    if (text[at] === '{') {
      const inner = parseItems(text, at);
      items.push(inner.items);
      at = inner.end;
    } else if (text[at] === '"') {
      let item = '';
      for (at += 1; text[at] !== '"'; at++) {
        if (text[at] === '\\') at += 1;
        if (at >= text.length) throw notAnArray(text);
        item += text[at] ?? '';
      }
      items.push(item);
      at += 1;
    } else {
      const from = at;
      while (at < text.length && text[at] !== ',' && text[at] !== '}') at += 1;
      const item = text.substring(from, at);
      items.push(item === 'NULL' ? null : item);
    }
    if (text[at] === '}') return { items, end: at + 1 };
    if (text[at] !== ',') throw notAnArray(text);
    at += 1;
  }
}

/** Quoted where PostgreSQL itself quotes. */
const NEEDS_QUOTES = /^$|^null$|[\s{}",\\]/i;

function printItem(item: string | null | Items): string {
  if (item === null) return 'NULL';
  if (typeof item !== 'string') return printArray(item);
  return NEEDS_QUOTES.test(item) ? `"${item.replace(/["\\]/g, '\\$&')}"` : item;
}

function notAnArray(text: string): BanyanError {
  return new BanyanError('FLOW_STOPPED', `not an array literal: ${text.slice(0, 40)}`, {
    hint: 'The type of this column is not what the catalog says; restart the relay.',
  });
}
