// `@anthropic-ai/sdk` on Node.js, unmodified.
import assert from 'node:assert/strict';
import Anthropic, { toFile } from '@anthropic-ai/sdk';

const { URL_, KEY, TEXT } = process.env;
const request = { model: 'm', max_tokens: 100, messages: [{ role: 'user', content: 'Hi' }] };
const tools = [{ name: 'weather', input_schema: { type: 'object', properties: {} } }];
const client = (path, more) => new Anthropic({ baseURL: `${URL_}/${path}`, apiKey: KEY, maxRetries: 0, ...more });

const api = client('anthropic');
assert.equal((await api.messages.create(request)).content[0].text, TEXT);
let streamed = '';
for await (const event of await api.messages.create({ ...request, stream: true })) {
  streamed += event.type === 'content_block_delta' ? event.delta.text : '';
}
assert.equal(streamed.trim(), TEXT);
assert.equal((await api.messages.create({ ...request, tools })).content[0].name, 'weather');
assert.equal((await api.messages.countTokens({ model: 'm', messages: request.messages })).input_tokens, 3);
const file = await api.beta.files.upload({ file: await toFile(Buffer.alloc(200_000, 'x'), 'f.txt') });
assert.ok(file.size_bytes > 200_000);

for (const [path, model, more, kind, message] of [
  ['anthropic', 'm', { apiKey: 'wrong' }, Anthropic.AuthenticationError, 'Invalid API key.'],
  ['closed/anthropic', 'm', {}, Anthropic.PermissionDeniedError, 'This API key may not use this route.'],
  ['nowhere', 'm', {}, Anthropic.NotFoundError, 'There is no route for this host and path.'],
  ['anthropic', 'limited', {}, Anthropic.RateLimitError, 'Too many requests for the provider.'],
  ['late/anthropic', 'slow', {}, Anthropic.APIError, 'The provider did not respond in time.'],
]) {
  await assert.rejects(client(path, more).messages.create({ ...request, model }), (error) => {
    assert.ok(error instanceof kind, `${error}`);
    assert.ok(error.message.includes(message), error.message);
    return true;
  });
}
