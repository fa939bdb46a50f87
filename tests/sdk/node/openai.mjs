// `openai` on Node.js, unmodified: OpenAI and Azure OpenAI.
import assert from 'node:assert/strict';
import OpenAI, { AzureOpenAI, toFile } from 'openai';

const { URL_, KEY, TEXT } = process.env;
const request = { model: 'm', messages: [{ role: 'user', content: 'Hi' }] };
const tools = [{ type: 'function', function: { name: 'weather', parameters: { type: 'object', properties: {} } } }];

async function chat(api) {
  assert.equal((await api.chat.completions.create(request)).choices[0].message.content, TEXT);
  let streamed = '';
  for await (const chunk of await api.chat.completions.create({ ...request, stream: true })) {
    streamed += chunk.choices[0].delta.content ?? '';
  }
  assert.equal(streamed.trim(), TEXT);
  const called = await api.chat.completions.create({ ...request, tools });
  assert.equal(called.choices[0].message.tool_calls[0].function.name, 'weather');
  assert.deepEqual((await api.embeddings.create({ model: 'm', input: 'a' })).data[0].embedding, [0.5, 0.25]);
}

const client = (path, more) => new OpenAI({ baseURL: `${URL_}/${path}`, apiKey: KEY, maxRetries: 0, ...more });
const api = client('openai/v1');
await chat(api);
assert.equal((await api.responses.create({ model: 'm', input: 'Hi' })).output_text, TEXT);
assert.equal((await api.models.list()).data[0].id, 'm');
const file = await api.files.create({ file: await toFile(Buffer.alloc(200_000, 'x'), 'f.jsonl'), purpose: 'batch' });
assert.ok(file.bytes > 200_000);
const speech = await api.audio.speech.create({ model: 'm', voice: 'alloy', input: 'Hi' });
assert.equal((await speech.arrayBuffer()).byteLength, 256 * 400);

const azure = new AzureOpenAI({ endpoint: `${URL_}/azure`, apiVersion: '2025-01-01', apiKey: KEY, maxRetries: 0 });
await chat(azure);

for (const [path, model, more, kind, message] of [
  ['openai/v1', 'm', { apiKey: 'wrong' }, OpenAI.AuthenticationError, 'Invalid API key.'],
  ['closed/openai/v1', 'm', {}, OpenAI.PermissionDeniedError, 'This API key may not use this route.'],
  ['nowhere/openai/v1', 'm', {}, OpenAI.NotFoundError, 'There is no route for this host and path.'],
  ['openai/v1', 'limited', {}, OpenAI.RateLimitError, 'Too many requests for the provider.'],
  ['late/openai/v1', 'slow', {}, OpenAI.InternalServerError, 'The provider did not respond in time.'],
]) {
  await assert.rejects(client(path, more).chat.completions.create({ ...request, model }), (error) => {
    assert.ok(error instanceof kind, `${error}`);
    assert.ok(error.message.includes(message), error.message);
    assert.ok(error.requestID);
    return true;
  });
}
