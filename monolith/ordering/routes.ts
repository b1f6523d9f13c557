// The routes of orders and of the warehouse's receipts, below /api.
import { Router } from 'express';
import type { Knex } from 'knex';
import { idOf, parse } from '../http/input.ts';
import { cancelOrder } from './cancel-order.ts';
import { newOrder, orderQuery, stockReceipt } from './contract.ts';
import { getOrder, listOrders } from './order-queries.ts';
import { placeOrder } from './place-order.ts';
import { receiveStock } from './stock.ts';

export function orderRoutes(db: Knex): Router {
  const router = Router();

  router.get('/orders', async (request, response) => {
    response.json(await listOrders(db, parse(orderQuery, request.query)));
  });
  router.post('/orders', async (request, response) => {
    const id = await placeOrder(db, parse(newOrder, request.body));
    response
      .status(201)
      .location(`/api/orders/${id}`)
      .json(await getOrder(db, id));
  });
  router.get('/orders/:id', async (request, response) => {
    response.json(await getOrder(db, idOf(request.params)));
  });
  router.post('/orders/:id/cancel', async (request, response) => {
    const id = idOf(request.params);
    await cancelOrder(db, id);
    response.json(await getOrder(db, id));
  });

  router.post('/stock-receipts', async (request, response) => {
    response.status(201).json(await receiveStock(db, parse(stockReceipt, request.body)));
  });

  return router;
}
