// One question with the openai package: whole, then streamed. Prints what it got as JSON.
//   node openai_chat.js BASE_URL KEY MODEL TEXT
import OpenAI from "openai";

const [baseURL, apiKey, model, text] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const messages = [{ role: "user", content: text }];

const completion = await client.chat.completions.create({ model, messages });
const stream = await client.chat.completions.create({
  model,
  messages,
  stream: true,
  stream_options: { include_usage: true },
});
let streamed = "";
let usage = null;
for await (const chunk of stream) {
  streamed += chunk.choices[0]?.delta?.content ?? "";
  usage = chunk.usage ?? usage;
}
console.log(
  JSON.stringify({
    content: completion.choices[0].message.content,
    finish_reason: completion.choices[0].finish_reason,
    model: completion.model,
    streamed,
    usage,
  }),
);
