// The catalog's routes, below /api.
import { Router } from 'express';
import type { Knex } from 'knex';
import { idOf, parse } from './http/input.ts';
import {
  categoryChange,
  categoryQuery,
  newCategory,
  newProduct,
  productChange,
  productQuery,
} from './contract.ts';
import { getCategory, insertCategory, listCategories, updateCategory } from './category-store.ts';
import {
  discontinueProduct,
  getProduct,
  insertProduct,
  listProducts,
  updateProduct,
} from './product-store.ts';

export function routes(db: Knex): Router {
  const router = Router();

  router.get('/products', async (request, response) => {
    response.json(await listProducts(db, parse(productQuery, request.query)));
  });
  router.post('/products', async (request, response) => {
    const product = await insertProduct(db, parse(newProduct, request.body));
    response.status(201).location(`/api/products/${product.id}`).json(product);
  });
  router.get('/products/:id', async (request, response) => {
    response.json(await getProduct(db, idOf(request.params)));
  });
  router.patch('/products/:id', async (request, response) => {
    const change = parse(productChange, request.body);
    response.json(await updateProduct(db, idOf(request.params), change));
  });
  router.delete('/products/:id', async (request, response) => {
    await discontinueProduct(db, idOf(request.params));
    response.status(204).end();
  });

  router.get('/categories', async (request, response) => {
    response.json(await listCategories(db, parse(categoryQuery, request.query)));
  });
  router.post('/categories', async (request, response) => {
    const category = await insertCategory(db, parse(newCategory, request.body));
    response.status(201).location(`/api/categories/${category.id}`).json(category);
  });
  router.get('/categories/:id', async (request, response) => {
    response.json(await getCategory(db, idOf(request.params)));
  });
  router.patch('/categories/:id', async (request, response) => {
    const change = parse(categoryChange, request.body);
    response.json(await updateCategory(db, idOf(request.params), change));
  });

  return router;
}
