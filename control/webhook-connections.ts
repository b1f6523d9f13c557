// Turns the webhooks of a definition into addresses and secrets, every one that is missing reported.
import { messageOf } from '../core/errors.ts';
import { readText } from '../core/kafka/connection.ts';
import type { Migration } from './definition.ts';
import { webhookName } from './rollout-settings.ts';
import type { SecretReference } from './schema-words.ts';
import type { Webhook } from './webhooks.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** By capability. Adds to `mistakes` one line for whatever cannot be resolved. */
export function resolveWebhooks(
  capabilities: Migration['capabilities'],
  environment: Environment,
  mistakes: string[],
): Record<string, Webhook[]> {
  const value = (name: string, at: string): string => {
    const found = environment[name] ?? '';
    if (found === '') mistakes.push(`${at}: environment variable ${name} is not set`);
    return found;
  };
  const secret = (reference: SecretReference, at: string): (() => string) => {
    if ('env' in reference) {
      const found = value(reference.env, at);
      return () => found;
    }
    const { file } = reference;
    try {
      readText(file);
    } catch (error) {
      mistakes.push(`${at}: ${messageOf(error)}`);
    }
    // Read anew each time: whoever changes the secret only writes the file.
    return () => readText(file);
  };
  return Object.fromEntries(
    Object.entries(capabilities).map(([id, { rollout }]) => [
      id,
      rollout.webhooks.map((hook, index) => {
        const at = `capabilities.${id}.rollout.webhooks.${index}`;
        const url = typeof hook.url === 'string' ? hook.url : value(hook.url.env, `${at}.url`);
        const parsed = URL.parse(url);
        if (url !== '' && !/^https?:$/.test(parsed?.protocol ?? ''))
          mistakes.push(`${at}.url: not a URL of the form https://…`);
        // No request takes them, and each refusal would tell them.
        if (parsed && parsed.username + parsed.password !== '')
          mistakes.push(
            `${at}.url: contains a user or password; the signature says who speaks, by \`secret\``,
          );
        return { name: webhookName(hook), url, secret: secret(hook.secret, `${at}.secret`) };
      }),
    ]),
  );
}
