// Undoes the content coding of a whole answer, so that two servers' compressors cannot differ. What
// comes out has the same limit of bytes as what came in, so a small answer cannot become a large one.
import { promisify } from 'node:util';
import { brotliDecompress, constants, gunzip, inflate, zstdDecompress } from 'node:zlib';
import type { Allowance } from './allowance.ts';
import type { Asked } from './asked.ts';
import type { Answer } from './domain/compare.ts';
import type { Purse } from './memory.ts';

/** The window that RFC 8878 §3.1.1.1.2 recommends to support; a larger one costs as much memory. */
const ZSTD_WINDOW_LOG = 23;

/** Milliseconds of processor to set a decoder up, and for each byte in and out; measured, roughly. */
const DECODE_MS = 0.05;
const BYTE_MS = 4e-6;

const zstd = promisify(zstdDecompress);

const DECODERS: Readonly<
  Record<string, (body: Uint8Array, options: { maxOutputLength: number }) => Promise<Buffer>>
> = {
  gzip: promisify(gunzip),
  'x-gzip': promisify(gunzip),
  deflate: promisify(inflate),
  br: promisify(brotliDecompress),
  zstd: (body, options) =>
    zstd(body, { ...options, params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG } }),
};

/** The answer in plain; `purse` holds its bytes, and those of the plain one afterwards. */
export async function plainAnswer(
  answer: Answer,
  bodyBytes: number,
  purse: Purse,
  cpu: Pick<Allowance, 'spend'>,
): Promise<Asked> {
  const { headers, body } = answer;
  const coding = headers['content-encoding']?.toLowerCase() ?? 'identity';
  if (coding === 'identity' || body.length === 0) return { kind: 'answer', answer };
  const decode = DECODERS[coding];
  if (!decode) return { kind: 'silent', why: 'unknown content coding' };
  if (!purse.take(bodyBytes)) return { kind: 'no-room' };
  cpu.spend(DECODE_MS + body.length * BYTE_MS);
  try {
    const plain = await decode(body, { maxOutputLength: bodyBytes });
    cpu.spend(plain.length * BYTE_MS);
    purse.give(bodyBytes - plain.length + body.length);
    return { kind: 'answer', answer: { ...answer, body: plain } };
  } catch (error) {
    purse.give(bodyBytes + body.length);
    cpu.spend(bodyBytes * BYTE_MS);
    const tooLarge = (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE';
    return tooLarge ? { kind: 'too-large' } : { kind: 'silent', why: 'broken content coding' };
  }
}
