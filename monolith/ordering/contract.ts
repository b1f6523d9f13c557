// What an order looks like, asked for and told. Prices come from the product at the moment of the
// order, never from the caller. The reference is the caller's own: unique, so that he can find his
// order again when the answer got lost.
import { z } from 'zod';
import { id, idText, paging, text } from '../http/input.ts';

const ORDER_STATUSES = ['open', 'invoiced', 'paid', 'cancelled'] as const;
export type OrderStatus = (typeof ORDER_STATUSES)[number];
export type OrderState = 'O' | 'I' | 'P' | 'C';

export const STATE_OF: Readonly<Record<OrderStatus, OrderState>> = {
  open: 'O',
  invoiced: 'I',
  paid: 'P',
  cancelled: 'C',
};
export const STATUS_OF: Readonly<Record<OrderState, OrderStatus>> = {
  O: 'open',
  I: 'invoiced',
  P: 'paid',
  C: 'cancelled',
};

const quantity = z.int().min(1).max(1_000);

export const newOrder = z
  .strictObject({
    customerId: id,
    reference: text(64).optional(),
    lines: z
      .array(z.strictObject({ productId: id, quantity }))
      .min(1)
      .max(50),
  })
  .superRefine(({ lines }, context) => {
    const seen = new Set<number>();
    for (const [index, { productId }] of lines.entries()) {
      if (seen.has(productId))
        context.addIssue({
          code: 'custom',
          path: ['lines', index, 'productId'],
          message: 'this product is in the order already',
        });
      seen.add(productId);
    }
  });
export type NewOrder = z.infer<typeof newOrder>;

export const orderQuery = z.object({
  ...paging,
  reference: text(64).optional(),
  customer: idText.optional(),
  status: z.enum(ORDER_STATUSES).optional(),
});
export type OrderQuery = z.infer<typeof orderQuery>;

export const stockReceipt = z.strictObject({
  productId: id,
  quantity: z.int().min(1).max(1_000_000),
});
export type StockReceipt = z.infer<typeof stockReceipt>;
