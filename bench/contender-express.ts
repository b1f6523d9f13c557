// express 5 with http-proxy-middleware 4, as production would set it up: NODE_ENV=production is in
// the environment, upstream connections are kept alive. `node contender-express.ts UPSTREAM`
import { Agent, createServer } from 'node:http';
import express from 'express';
import { createProxyMiddleware } from 'http-proxy-middleware';
import { announce } from './announce.ts';

const app = express();
app.disable('x-powered-by');
app.use(
  createProxyMiddleware({
    target: process.argv[2] ?? '',
    agent: new Agent({ keepAlive: true, maxSockets: 128 }),
  }),
);
announce(createServer(app));
