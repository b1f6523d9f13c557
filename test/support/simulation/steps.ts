// What may come next in a schedule, and how often.

export const STEPS = {
  'write monolith': 5,
  'write service': 5,
  'stream to': 8,
  'stream back': 7,
  'source to': 4,
  'source back': 2,
  'copy to': 1,
  'copy back': 0.5,
  'letters to': 0.5,
  'letters back': 0.5,
  'restart to': 0.4,
  'restart back': 0.4,
  switch: 0.5,
  message: 1,
  appear: 1,
  review: 0.7,
  refuse: 0.3,
};

/** While tables are copied, the copy is to come along between the writes. */
export const COPYING: typeof STEPS = {
  ...STEPS,
  'source to': 24,
  'copy to': 5,
  'stream to': 12,
  'restart to': 2,
  appear: 0.5,
};
