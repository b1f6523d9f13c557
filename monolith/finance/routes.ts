// The routes of invoices and payments, below /api.
import { Router } from 'express';
import type { Knex } from 'knex';
import { idOf, parse } from '../http/input.ts';
import {
  createInvoice,
  getInvoice,
  invoiceQuery,
  listInvoices,
  newInvoice,
  newPayment,
  payInvoice,
} from './invoices.ts';

export function financeRoutes(db: Knex): Router {
  const router = Router();

  router.get('/invoices', async (request, response) => {
    response.json(await listInvoices(db, parse(invoiceQuery, request.query)));
  });
  router.post('/invoices', async (request, response) => {
    const id = await createInvoice(db, parse(newInvoice, request.body).orderId);
    response
      .status(201)
      .location(`/api/invoices/${id}`)
      .json(await getInvoice(db, id));
  });
  router.get('/invoices/:id', async (request, response) => {
    response.json(await getInvoice(db, idOf(request.params)));
  });
  router.post('/invoices/:id/payments', async (request, response) => {
    const id = idOf(request.params);
    await payInvoice(db, id, parse(newPayment, request.body));
    response.status(201).json(await getInvoice(db, id));
  });

  return router;
}
