// The reports' routes, below /api/reports.
import { Router } from 'express';
import type { Knex } from 'knex';
import { z } from 'zod';
import { counted, parse } from '../http/input.ts';
import { lowStock, revenueByCountry, salesByCategory, topProducts } from './queries.ts';

const topQuery = z.object({ limit: counted(10, 100) });
const lowStockQuery = z.object({ threshold: counted(20, 1_000_000), limit: counted(50, 200) });

export function reportRoutes(db: Knex): Router {
  const router = Router();

  router.get('/reports/sales-by-category', async (_request, response) => {
    response.json({ items: await salesByCategory(db) });
  });
  router.get('/reports/top-products', async (request, response) => {
    const { limit } = parse(topQuery, request.query);
    response.json({ items: await topProducts(db, limit) });
  });
  router.get('/reports/low-stock', async (request, response) => {
    const { threshold, limit } = parse(lowStockQuery, request.query);
    response.json({ items: await lowStock(db, threshold, limit) });
  });
  router.get('/reports/revenue-by-country', async (_request, response) => {
    response.json({ items: await revenueByCountry(db) });
  });

  return router;
}
