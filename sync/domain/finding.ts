// What a check of a definition against live databases comes to: a value, for the shell to decide on.
export interface Finding {
  readonly severity: 'error' | 'warning';
  /** `monolith`, `service catalog`, or a capability's table. */
  readonly where: string;
  readonly what: string;
  readonly hint: string;
}
