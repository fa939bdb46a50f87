// Sends a request of each SDK on Node.js for each scene, and prints what it threw, as JSON. `test_limits.py` judges.
import Anthropic from '@anthropic-ai/sdk';
import { GoogleGenAI } from '@google/genai';
import OpenAI from 'openai';

const { URL_, KEY, SCENES } = process.env;
const messages = [{ role: 'user', content: 'Hi' }];
const apiKey = KEY;
const sdks = {
  'openai-js': (scene) =>
    new OpenAI({ apiKey, baseURL: `${URL_}/openai-js/openai/${scene}/v1`, maxRetries: 1 }).chat.completions.create({ model: 'm', max_tokens: 9, messages }),
  'anthropic-js': (scene) =>
    new Anthropic({ apiKey, baseURL: `${URL_}/anthropic-js/anthropic/${scene}`, maxRetries: 1 }).messages.create({ model: 'm', max_tokens: 9, messages }),
  'genai-js': (scene) =>
    new GoogleGenAI({ apiKey, vertexai: false, httpOptions: { baseUrl: `${URL_}/genai-js/google/${scene}` } })
      .models.generateContent({ model: 'm', contents: 'Hi', config: { maxOutputTokens: 9 } }),
};

const thrown = [];
for (const [sdk, call] of Object.entries(sdks)) {
  for (const scene of SCENES.split(',')) {
    const error = await call(scene).then(() => ({ message: 'nothing was thrown' }), (error) => error);
    const { message, status, code, type } = error;
    thrown.push({ sdk, scene, class: error.constructor.name, message, status, code, type });
  }
}
console.log(JSON.stringify(thrown));
