// Runs the cases of one client against the daemon, one after the other, and prints a line of JSON for each: the "case",
// what the client has "seen" or what was "thrown", the bodies "sent", and the "sessions" that the answers named.
//   BASE_URL=http://127.0.0.1:3456/v1 API_KEY=any MODEL=sonnet node run.js CLIENT [CASE...]
import * as aiSdk from "./ai_sdk.js";
import * as openai from "./openai.js";

const CLIENTS = {
  openai: openai.cases,
  "ai-sdk-openai": aiSdk.casesOfOpenAI,
  "ai-sdk-openai-compatible": aiSdk.casesOfOpenAICompatible,
};
const LIMIT = 30_000; // milliseconds for one case

const [client, ...names] = process.argv.slice(2);
const { BASE_URL: baseURL, API_KEY: apiKey = "any", MODEL: model = "sonnet" } = process.env;
if (!(client in CLIENTS) || !baseURL) {
  console.error(`BASE_URL=... node run.js CLIENT [CASE...]; clients: ${Object.keys(CLIENTS).join(", ")}`);
  process.exit(2);
}

let sent, sessions;
const noting = async (url, options) => {
  sent.push(JSON.parse(options.body));
  const response = await fetch(url, options);
  sessions.push(response.headers.get("x-claude-session-id"));
  return response;
};
const cases = CLIENTS[client]({ baseURL, apiKey, model, fetch: noting });
for (const name of names.length ? names : Object.keys(cases)) {
  // Every prompt says whose it is, so that what reaches the model can be told apart.
  [sent, sessions] = [[], []];
  const mark = `case ${client}/${name}:`;
  const line = await within(cases[name], (directive) => `${mark} ${directive}`).then(
    (seen) => ({ case: name, seen }),
    (error) => ({ case: name, thrown: `${error.stack ?? error}\n${JSON.stringify(error)}` }),
  );
  console.log(JSON.stringify({ ...line, sent, sessions }));
}
process.exit(0); // whatever is still open, such as a stream that was left

async function within(run, prompt) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`it did not end within ${LIMIT} ms`)), LIMIT);
  });
  try {
    return await Promise.race([Promise.resolve().then(() => run(prompt)), late]);
  } finally {
    clearTimeout(timer);
  }
}
