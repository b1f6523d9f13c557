// A claim of a JSON Web Token (RFC 7519) in `Authorization: Bearer`, read without the key that it is signed
// with: good for telling visitors apart, and for nothing that they must not choose themselves.

/** Larger ones are not read. */
const MOST_CHARACTERS = 8_192;
const BEARER = /^bearer +[\w-]+\.([\w-]+)\.[\w-]*$/i;

/** As text; undefined where there is none, or no text or number. */
export function claimOf(authorization: string | undefined, name: string): string | undefined {
  if (authorization === undefined || authorization.length > MOST_CHARACTERS) return undefined;
  const payload = BEARER.exec(authorization)?.[1];
  if (payload === undefined) return undefined;
  let claims: unknown;
  try {
    claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
  } catch {
    return undefined;
  }
  if (typeof claims !== 'object' || claims === null || !Object.hasOwn(claims, name))
    return undefined;
  const value = (claims as Record<string, unknown>)[name];
  return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined;
}
