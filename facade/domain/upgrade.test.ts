import { expect, test } from '@jest/globals';
import { tunnelProtocol } from './upgrade.ts';

const offer = (upgrade: string, change = {}): string | undefined =>
  tunnelProtocol({ method: 'GET', httpVersion: '1.1', hasBody: false, upgrade, ...change });

test('a WebSocket and protocols that we do not know become a tunnel', () => {
  expect(offer('websocket')).toBe('websocket');
  expect(offer('WebSocket')).toBe('WebSocket');
  expect(offer('SPDY/3.1', { method: 'POST' })).toBe('SPDY/3.1');
});

test('an offer of HTTP/2 or TLS is ignored, also beside others', () => {
  expect(offer('h2c')).toBeUndefined();
  expect(offer('TLS/1.2, HTTP/2.0')).toBeUndefined();
  expect(offer('h2c, websocket')).toBe('websocket');
  expect(offer('')).toBeUndefined();
});

test('what HTTP/1.0 offers, or comes with a body, or with HEAD, is an ordinary request', () => {
  expect(offer('websocket', { httpVersion: '1.0' })).toBeUndefined();
  expect(offer('websocket', { hasBody: true })).toBeUndefined();
  expect(offer('websocket', { method: 'HEAD' })).toBeUndefined();
});
