// `@google/genai` on Node.js, unmodified.
import assert from 'node:assert/strict';
import { ApiError, GoogleGenAI } from '@google/genai';

const { URL_, KEY, TEXT } = process.env;
const client = (path, apiKey = KEY) =>
  new GoogleGenAI({ apiKey, vertexai: false, httpOptions: { baseUrl: `${URL_}/${path}` } });
const request = { model: 'm', contents: 'Hi' };

const api = client('gemini');
assert.equal((await api.models.generateContent(request)).text, TEXT);
let streamed = '';
for await (const chunk of await api.models.generateContentStream(request)) streamed += chunk.text;
assert.equal(streamed.trim(), TEXT);
const tools = [{ functionDeclarations: [{ name: 'weather', parametersJsonSchema: { type: 'object', properties: {} } }] }];
assert.equal((await api.models.generateContent({ ...request, config: { tools } })).functionCalls[0].name, 'weather');
assert.deepEqual((await api.models.embedContent({ model: 'm', contents: ['a'] })).embeddings[0].values, [0.5, 0.25]);
const file = await api.files.upload({ file: new Blob(['x'.repeat(100_000)]), config: { mimeType: 'text/plain' } });
assert.equal(Number(file.sizeBytes), 100_000);

for (const [path, model, key, status, message] of [
  ['gemini', 'm', 'wrong', 401, 'Invalid API key.'],
  ['closed/gemini', 'm', undefined, 403, 'This API key may not use this route.'],
  ['nowhere', 'm', undefined, 404, 'There is no route for this host and path.'],
  ['gemini', 'limited', undefined, 429, 'Too many requests for the provider.'],
  ['late/gemini', 'slow', undefined, 504, 'The provider did not respond in time.'],
]) {
  await assert.rejects(client(path, key).models.generateContent({ ...request, model }), (error) => {
    assert.ok(error instanceof ApiError, `${error}`);
    assert.equal(error.status, status);
    assert.ok(error.message.includes(message), error.message);
    return true;
  });
}
