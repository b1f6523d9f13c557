// Parts that are nothing without each other.

/** The first to fail stops the others; all have ended when this settles. */
export async function allOrNone(
  stop: AbortController,
  parts: readonly Promise<void>[],
): Promise<void> {
  const guarded = parts.map((part) =>
    part.catch((error: unknown) => {
      stop.abort();
      throw error;
    }),
  );
  const results = await Promise.allSettled(guarded);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
}
