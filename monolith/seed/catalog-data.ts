// Categories and products for the seed. Ids count from 1, parents before children. Every twentieth
// product has a description too long to be kept inside its row.
import type { Random } from './random.ts';
import { timestampAt } from './random.ts';

export interface SeedCategory {
  readonly cat_id: number;
  readonly cat_cd: string;
  readonly cat_nm: string;
  readonly par_cat_id: number | null;
  readonly sts: string;
}

export interface SeedProduct {
  readonly prd_id: number;
  readonly prd_no: string;
  readonly prd_nm: string;
  readonly prd_dsc: string;
  readonly cents: number;
  readonly sts: 'A' | 'S' | 'D';
  readonly cat_id: number;
  readonly prdcd: string;
  readonly stk_qty: number;
  readonly crt_dt: string;
  readonly upd_dt: string;
}

const TREE = {
  HOME: ['Home', 'Kitchen', 'Bath', 'Bedroom', 'Lighting', 'Storage', 'Textiles'],
  GARDEN: ['Garden', 'Tools', 'Furniture', 'Irrigation', 'Grills'],
  SPORT: ['Sport', 'Cycling', 'Running', 'Climbing', 'Swimming', 'Fitness'],
  OFFICE: ['Office', 'Paper', 'Writing', 'Desks', 'Chairs'],
  TECH: ['Technology', 'Audio', 'Cables', 'Displays', 'Computers', 'Smart home'],
  TOYS: ['Toys', 'Puzzles', 'Models', 'Outdoor'],
  BOOKS: ['Books', 'Fiction', 'Travel', 'Cooking'],
  GIFTS: ['Gift cards'],
} as const;

const QUALITIES = ['Plain', 'Solid', 'Compact', 'Folding', 'Classic', 'Light', 'Robust'] as const;
const COLOURS = ['red', 'blue', 'green', 'grey', 'black', 'white', 'ochre', 'naïve mauve'] as const;
const THINGS = ['lamp', 'box', 'stand', 'rack', 'set', 'kit', 'holder', 'tray', 'case'] as const;
const WORDS = [
  'made',
  'for',
  'daily',
  'use',
  'with',
  'care',
  'from',
  'beech',
  'steel',
  'linen',
  'glass',
  'and',
  'easy',
  'to',
  'clean',
  'store',
  'repair',
  'carry',
  'weighs',
  'little',
  'lasts',
  'long',
  'comes',
  'in',
  'one',
  'piece',
  'grünlich',
  'matt',
  'surface',
  '“quiet”',
  'sturdy',
  'foot',
  'lid',
  'hinge',
] as const;
const KINDS = [
  'GOOD',
  'GOOD',
  'GOOD',
  'GOOD',
  'GOOD',
  'SPARE',
  'BUNDLE',
  'DIGI',
  'SERV',
  'GIFT',
] as const;

/** About forty categories, eight of them at the top. */
export function categories(): SeedCategory[] {
  const all: SeedCategory[] = [];
  for (const [code, [name, ...children]] of Object.entries(TREE)) {
    const parent = row(code, name, null);
    children.forEach((child, index) => row(`${code}-${index + 1}`, child, parent.cat_id));
  }
  return all;

  function row(cat_cd: string, cat_nm: string, par_cat_id: number | null): SeedCategory {
    const sts = cat_cd === 'TOYS-3' ? 'I' : 'A';
    const category = { cat_id: all.length + 1, cat_cd, cat_nm, par_cat_id, sts };
    all.push(category);
    return category;
  }
}

export function products(random: Random, count: number, categoryCount: number): SeedProduct[] {
  return Array.from({ length: count }, (_, index): SeedProduct => {
    const prd_id = index + 1;
    const created = random.int(0, 500_000);
    const sts = random.chance(0.94) ? 'A' : random.pick(['S', 'D'] as const);
    return {
      prd_id,
      prd_no: `P-${String(prd_id).padStart(6, '0')}`,
      prd_nm: `${random.pick(QUALITIES)} ${random.pick(COLOURS)} ${random.pick(THINGS)} ${prd_id}`,
      prd_dsc: description(random, prd_id),
      cents: random.int(99, 49_999),
      sts,
      cat_id: random.int(1, categoryCount),
      prdcd: random.pick(KINDS),
      stk_qty: random.chance(0.97) ? random.int(1_000, 50_000) : random.int(0, 30),
      crt_dt: timestampAt(created, random.int(0, 59_999)),
      upd_dt: timestampAt(created + random.int(0, 200_000), random.int(0, 59_999)),
    };
  });
}

function description(random: Random, id: number): string {
  if (id % 50 === 0) return '';
  const words = id % 20 === 0 ? 1_200 : random.int(4, 24);
  return Array.from({ length: words }, () => longWord(random, id)).join(' ');
}

/** In long descriptions every word carries digits, so that compression does not shorten them away. */
function longWord(random: Random, id: number): string {
  const word = random.pick(WORDS);
  return id % 20 === 0 ? `${word}${random.int(0, 99_999)}` : word;
}
