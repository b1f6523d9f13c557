// Small shapes that several parts of a definition share.
import { z } from 'zod';

export const text = z.string().min(1);
/** 0 to 1. */
export const share = z.number().min(0).max(1);
