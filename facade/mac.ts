// Signatures of the facade: HMAC-SHA-256, its first 16 bytes, as base64url. Keys are KeyObjects: a
// Buffer would be made into one for each signature, which costs four times the signature itself.
import { createHmac, timingSafeEqual, type KeyObject } from 'node:crypto';

const BYTES = 16;

export function sign(key: KeyObject, text: string): string {
  return macOf(key, text).toString('base64url');
}

export function isSigned(key: KeyObject, text: string, signature: string): boolean {
  const given = Buffer.from(signature, 'base64url');
  return given.length === BYTES && timingSafeEqual(given, macOf(key, text));
}

function macOf(key: KeyObject, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest().subarray(0, BYTES);
}
