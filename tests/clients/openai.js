// The openai package, as its README has it.
import OpenAI, { APIUserAbortError } from "openai";
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import { ADA, add, PDF, person, PNG, TWO_CALLS, untilActive, weather } from "./shared.js";

export function cases({ baseURL, apiKey, model, fetch }) {
  const client = new OpenAI({ baseURL, apiKey, fetch, maxRetries: 0 });
  const completions = client.chat.completions;
  const user = (content) => [{ role: "user", content }];
  const tools = [add, weather].map(({ name, description, parameters }) =>
    zodFunction({ name, description, parameters }),
  );
  const runnable = [add, weather].map(({ name, description, parameters, run }) =>
    zodFunction({ name, description, parameters, function: run }),
  );
  const answer = ({ message, finish_reason }) => ({ content: message.content, finish_reason });

  async function loop(ask, prompt) {
    const messages = user(prompt(`[[stub ${TWO_CALLS}]]`));
    const first = await ask(messages);
    messages.push(first.message);
    // In the wrong order, since a client may run its functions at the same time.
    for (const call of first.message.tool_calls.toReversed()) {
      const { run } = [add, weather].find(({ name }) => name === call.function.name);
      messages.push({ role: "tool", tool_call_id: call.id, content: run(JSON.parse(call.function.arguments)) });
    }
    const last = await ask(messages);
    return {
      calls: first.message.tool_calls.map(({ type, function: { name, arguments: text } }) => ({ type, name, text })),
      first: answer(first),
      last: answer(last),
    };
  }

  return {
    async chat(prompt) {
      const messages = [{ role: "developer", content: "Be brief." }, ...user(prompt("[[stub text=one two three]]"))];
      const completion = await completions.create({ model, messages });
      return { ...answer(completion.choices[0]), model: completion.model, usage: completion.usage };
    },

    async stream(prompt) {
      const stream = await completions.create({
        model,
        messages: user(prompt("[[stub text=eins zwei drei vier deltas=4]]")),
        stream: true,
        stream_options: { include_usage: true },
      });
      const chunks = [];
      for await (const chunk of stream) chunks.push(chunk);
      const deltas = chunks.flatMap(({ choices }) => choices.map(({ delta }) => delta.content)).filter(Boolean);
      return { deltas, models: [...new Set(chunks.map((chunk) => chunk.model))], usage: chunks.at(-1).usage };
    },

    // The helper checks each chunk more strictly than the plain stream does.
    async streamHelper(prompt) {
      const messages = user(prompt("[[stub text=eins zwei drei vier deltas=4]]"));
      const stream = completions.stream({ model, messages, stream_options: { include_usage: true } });
      const deltas = [];
      stream.on("content", (delta) => deltas.push(delta));
      const completion = await stream.finalChatCompletion();
      return { deltas, ...answer(completion.choices[0]), usage: completion.usage };
    },

    tools: (prompt) =>
      loop(async (messages) => (await completions.create({ model, messages, tools })).choices[0], prompt),

    toolsStreamed: (prompt) =>
      loop(async (messages) => {
        const completion = await completions.stream({ model, messages, tools }).finalChatCompletion();
        return completion.choices[0];
      }, prompt),

    async runTools(prompt) {
      const messages = user(prompt(`[[stub ${TWO_CALLS}]]`));
      const runner = completions.runTools({ model, messages, tools: runnable });
      const content = await runner.finalContent();
      return { content, roles: runner.messages.map(({ role }) => role), usage: await runner.totalUsage() };
    },

    async runToolsStreamed(prompt) {
      const messages = user(prompt(`[[stub ${TWO_CALLS}]]`));
      const runner = completions.runTools({ model, messages, tools: runnable, stream: true });
      const content = await runner.finalContent();
      return { content, roles: runner.messages.map(({ role }) => role) };
    },

    async parse(prompt) {
      const completion = await completions.parse({
        model,
        messages: user(prompt(`[[stub text=${JSON.stringify(ADA)}]]`)),
        response_format: zodResponseFormat(person, "person"),
      });
      return { ...answer(completion.choices[0]), parsed: completion.choices[0].message.parsed };
    },

    async parseStreamed(prompt) {
      const stream = completions.stream({
        model,
        messages: user(prompt(`[[stub text=${JSON.stringify(ADA)}]]`)),
        response_format: zodResponseFormat(person, "person"),
      });
      let grown = 0;
      stream.on("content.delta", ({ parsed }) => (grown += parsed ? 1 : 0));
      const { choices } = await stream.finalChatCompletion();
      return { parsed: choices[0].message.parsed, grown };
    },

    // Arguments parsed by the function's own schema, beside a form for the answer.
    async parseTools(prompt) {
      const completion = await completions.parse({
        model,
        messages: user(prompt(`[[stub ${TWO_CALLS}]]`)),
        tools,
        response_format: zodResponseFormat(person, "person"),
      });
      const calls = completion.choices[0].message.tool_calls;
      return { parsed: calls.map((call) => call.function.parsed_arguments) };
    },

    async image(prompt) {
      const url = `data:image/png;base64,${PNG}`;
      const content = [
        { type: "text", text: prompt("[[stub text=A red pixel.]]") },
        { type: "image_url", image_url: { url, detail: "low" } },
      ];
      return answer((await completions.create({ model, messages: user(content) })).choices[0]);
    },

    async document(prompt) {
      const content = [
        { type: "file", file: { filename: "empty.pdf", file_data: `data:application/pdf;base64,${PDF}` } },
        { type: "text", text: prompt("[[stub text=An empty page.]]") },
      ];
      return answer((await completions.create({ model, messages: user(content) })).choices[0]);
    },

    async reasoning(prompt) {
      const messages = user(prompt("[[stub thinking=Let me think. text=Done.]]"));
      const { choices, usage } = await completions.create({ model, messages, reasoning_effort: "low" });
      return { ...answer(choices[0]), reasoning: choices[0].message.reasoning_content, usage };
    },

    // The package passes on fields that it does not know.
    async reasoningStreamed(prompt) {
      const messages = user(prompt("[[stub thinking=Let me think. text=Done.]]"));
      const stream = await completions.create({ model, messages, stream: true });
      const seen = { content: "", reasoning_content: "", reasoning: "" };
      for await (const { choices } of stream) {
        for (const field in seen) seen[field] += choices[0].delta[field] ?? "";
      }
      return seen;
    },

    async refusedParameter(prompt) {
      const error = await completions
        .create({ model, messages: user(prompt("[[stub text=no]]")), temperature: 7 })
        .catch((error) => error);
      const { status, code, param, type, message } = error;
      return { kind: error.constructor.name, status, code, param, type, message };
    },

    async refusedByTheModel(prompt) {
      const error = await completions
        .create({ model, messages: user(prompt("[[stub status=429 message=slow down retry-after=7]]")) })
        .catch((error) => error);
      const { status, code, type, message } = error;
      return { kind: error.constructor.name, status, code, type, message, after: error.headers?.get("retry-after") };
    },

    async errorInTheStream(prompt) {
      const messages = user(prompt("[[stub text=a b c d deltas=4 error-after=2 message=too much]]"));
      const stream = await completions.create({ model, messages, stream: true });
      const deltas = [];
      try {
        for await (const { choices } of stream) deltas.push(choices[0].delta.content);
      } catch (error) {
        const { status, code, type, message } = error;
        return { deltas: deltas.filter(Boolean), kind: error.constructor.name, status, code, type, message };
      }
      return { deltas };
    },

    async abort(prompt) {
      const messages = user(prompt("[[stub text=a b c deltas=3 every=60]]"));
      const stream = await completions.create({ model, messages, stream: true });
      for await (const { choices } of stream) if (choices[0].delta.content) break; // a break aborts it
      const aborted = stream.controller.signal.aborted;
      return { aborted, idleAfter: await untilActive(baseURL, 0) };
    },

    async abortBeforeTheFirstToken(prompt) {
      const messages = user(prompt("[[stub hang]]"));
      const controller = new AbortController();
      const answering = completions.create({ model, messages }, { signal: controller.signal });
      await untilActive(baseURL, 1);
      controller.abort();
      const error = await answering.catch((error) => error);
      return { aborted: error instanceof APIUserAbortError, idleAfter: await untilActive(baseURL, 0) };
    },
  };
}
