// The public words of the catalog, kept word for word as the shop has always spoken them: what its
// requests may hold and what its answers look like. The order of the fields in an answer is part of
// the contract. Stock is told, never taken: it is moved elsewhere. Money is a decimal string with
// two digits after the point.
import { z } from 'zod';
import { id, NOT_EMPTY, notEmpty, paging, text } from './http/input.ts';

const PRODUCT_STATUSES = ['active', 'suspended', 'discontinued'] as const;
export type ProductStatus = (typeof PRODUCT_STATUSES)[number];

const CATEGORY_STATUSES = ['active', 'inactive'] as const;
export type CategoryStatus = (typeof CATEGORY_STATUSES)[number];

/** A copy of the shop's product codes; a new one comes with a release of both. */
const KINDS = ['GOOD', 'DIGI', 'SERV', 'GIFT', 'SPARE', 'BUNDLE'] as const;
export type Kind = (typeof KINDS)[number];

export interface Product {
  readonly id: number;
  readonly number: string;
  readonly name: string;
  readonly description: string;
  readonly price: string;
  readonly currency: string;
  readonly status: ProductStatus;
  readonly categoryId: number;
  readonly kind: Kind;
  readonly stock: number;
  readonly createdAt: string;
  readonly updatedAt: string;
}

export interface Category {
  readonly id: number;
  readonly code: string;
  readonly name: string;
  readonly parentId: number | null;
  readonly status: CategoryStatus;
}

const product = {
  number: text(32),
  name: text(120),
  description: z
    .string()
    .max(20_000)
    .refine((value) => !value.includes('\0'), 'must not contain a NUL character'),
  price: z.string().regex(/^[0-9]{1,10}(\.[0-9]{1,2})?$/, 'must be a decimal such as "12.50"'),
  currency: z.string().regex(/^[A-Z]{3}$/, 'must be an ISO 4217 code'),
  status: z.enum(PRODUCT_STATUSES),
  categoryId: id,
  kind: z.enum(KINDS),
};

export const newProduct = z.strictObject({
  ...product,
  description: product.description.default(''),
  currency: product.currency.default('EUR'),
  status: product.status.default('active'),
});
export type NewProduct = z.infer<typeof newProduct>;

export const productChange = z.strictObject(product).partial().refine(notEmpty, NOT_EMPTY);
export type ProductChange = z.infer<typeof productChange>;

export const productQuery = z.object({
  ...paging,
  category: text(20).optional(),
  status: z.enum(PRODUCT_STATUSES).optional(),
  q: text(80).optional(),
});
export type ProductQuery = z.infer<typeof productQuery>;

const category = {
  code: z.string().regex(/^[A-Z0-9-]{1,20}$/, 'must be capitals, digits and hyphens'),
  name: text(80),
  parentId: id.nullable(),
  status: z.enum(CATEGORY_STATUSES),
};

export const newCategory = z.strictObject({
  ...category,
  parentId: category.parentId.default(null),
  status: category.status.default('active'),
});
export type NewCategory = z.infer<typeof newCategory>;

export const categoryChange = z.strictObject(category).partial().refine(notEmpty, NOT_EMPTY);
export type CategoryChange = z.infer<typeof categoryChange>;

export const categoryQuery = z.object({
  ...paging,
  status: z.enum(CATEGORY_STATUSES).optional(),
});
export type CategoryQuery = z.infer<typeof categoryQuery>;
