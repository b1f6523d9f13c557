// The customers' routes, below /api.
import { Router } from 'express';
import type { Knex } from 'knex';
import { idOf, parse } from '../http/input.ts';
import {
  customerChange,
  customerQuery,
  getCustomer,
  insertCustomer,
  listCustomers,
  newCustomer,
  updateCustomer,
} from './table.ts';

export function customerRoutes(db: Knex): Router {
  const router = Router();

  router.get('/customers', async (request, response) => {
    response.json(await listCustomers(db, parse(customerQuery, request.query)));
  });
  router.post('/customers', async (request, response) => {
    const customer = await insertCustomer(db, parse(newCustomer, request.body));
    response.status(201).location(`/api/customers/${customer.id}`).json(customer);
  });
  router.get('/customers/:id', async (request, response) => {
    response.json(await getCustomer(db, idOf(request.params)));
  });
  router.patch('/customers/:id', async (request, response) => {
    const change = parse(customerChange, request.body);
    response.json(await updateCustomer(db, idOf(request.params), change));
  });

  return router;
}
