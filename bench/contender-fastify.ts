// @fastify/http-proxy with its defaults: undici with 128 connections, no logging.
// `node contender-fastify.ts UPSTREAM`
import proxy from '@fastify/http-proxy';
import fastify from 'fastify';
import type { AddressInfo } from 'node:net';
import { say } from './announce.ts';

const app = fastify();
await app.register(proxy, { upstream: process.argv[2] ?? '' });
await app.listen({ host: '127.0.0.1', port: 0 });
say((app.server.address() as AddressInfo).port);
