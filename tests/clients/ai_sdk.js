// Vercel's AI SDK through both of its providers for Chat Completions, as its documentation has it.
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, isStepCount, Output, streamObject, streamText, tool } from "ai";
import { ADA, add, PDF, person, PNG, TWO_CALLS, untilActive, weather } from "./shared.js";

globalThis.AI_SDK_LOG_WARNINGS = false; // they are looked at in what the cases return

export function casesOfOpenAI({ baseURL, apiKey, model, fetch }) {
  return cases(createOpenAI({ baseURL, apiKey, fetch }).chat(model), baseURL);
}

export function casesOfOpenAICompatible({ baseURL, apiKey, model, fetch }) {
  const settings = { name: "claudeproxy", includeUsage: true, supportsStructuredOutputs: true };
  return cases(createOpenAICompatible({ ...settings, baseURL, apiKey, fetch })(model), baseURL);
}

function cases(model, baseURL) {
  const settings = { model, maxRetries: 0 };
  const tools = Object.fromEntries(
    [add, weather].map(({ name, description, parameters, run }) => [
      name,
      tool({ description, inputSchema: parameters, execute: run }),
    ]),
  );
  const looping = { ...settings, tools, stopWhen: isStepCount(5) };
  const tokens = ({ inputTokens, inputTokenDetails, outputTokens, outputTokenDetails, totalTokens }) => ({
    input: inputTokens,
    cacheRead: inputTokenDetails.cacheReadTokens,
    output: outputTokens,
    reasoning: outputTokenDetails.reasoningTokens,
    total: totalTokens,
  });
  const steps = (taken) =>
    taken.map(({ text, finishReason, toolCalls, toolResults, warnings }) => ({
      text,
      finishReason,
      calls: toolCalls.map(({ toolName, input }) => [toolName, input]),
      results: toolResults.map(({ output }) => output),
      warnings: warnings ?? [],
    }));
  const collected = async (stream, parts = []) => {
    for await (const part of stream) parts.push(part);
    return parts;
  };
  const texts = (parts, type) => parts.filter((part) => part.type === type).map(({ text, delta }) => text ?? delta);
  const failed = (error) => {
    const { statusCode, isRetryable, message, data, responseHeaders } = error;
    return { kind: error.name, statusCode, isRetryable, message, error: data?.error, headers: responseHeaders };
  };

  return {
    async generateText(prompt) {
      const result = await generateText({
        ...settings,
        instructions: "Be brief.",
        prompt: prompt("[[stub text=one two three]]"),
      });
      const { text, finishReason, usage, response, warnings } = result;
      return { text, finishReason, usage: tokens(usage), model: response.modelId, warnings: warnings ?? [] };
    },

    async streamText(prompt) {
      const result = streamText({ ...settings, prompt: prompt("[[stub text=eins zwei drei vier deltas=4]]") });
      const parts = await collected(result.stream);
      const errors = parts.filter(({ type }) => type === "error").map(({ error }) => String(error));
      return {
        deltas: texts(parts, "text-delta"),
        finishReason: await result.finishReason,
        usage: tokens(await result.usage),
        errors,
      };
    },

    async history(prompt) {
      const messages = [{ role: "user", content: prompt("Remember: my name is Ada.") }];
      const first = await generateText({ ...settings, messages });
      messages.push(...first.response.messages, { role: "user", content: "What is my name?" });
      return { text: (await generateText({ ...settings, messages })).text };
    },

    async tools(prompt) {
      const result = await generateText({ ...looping, prompt: prompt(`[[stub ${TWO_CALLS}]]`) });
      return { text: result.text, steps: steps(result.steps) };
    },

    async toolsStreamed(prompt) {
      const result = streamText({ ...looping, prompt: prompt(`[[stub ${TWO_CALLS}]]`) });
      const parts = await collected(result.stream);
      return {
        text: await result.text,
        steps: steps(await result.steps),
        inputs: texts(parts, "tool-input-delta").join(""),
        errors: parts.filter(({ type }) => type === "error").map(({ error }) => String(error)),
      };
    },

    // What the first function returns has the model call another one.
    async manySteps(prompt) {
      const sums = [];
      const chained = tool({
        description: add.description,
        inputSchema: add.parameters,
        execute: ({ a, b }) => {
          sums.push(a + b);
          return sums.length < 3 ? `[[stub call=add {"a": ${a + b}, "b": 1}]]` : `the sum is ${a + b}`;
        },
      });
      const result = await generateText({
        ...looping,
        tools: { add: chained },
        prompt: prompt('[[stub call=add {"a": 1, "b": 1}]]'),
      });
      return { sums, text: result.text, steps: result.steps.length };
    },

    async requiredTool(prompt) {
      const result = await generateText({
        ...settings,
        tools,
        toolChoice: { type: "tool", toolName: add.name },
        prompt: prompt('[[stub call=add {"a": 1, "b": 2}]]'),
      });
      return { steps: steps(result.steps) };
    },

    async output(prompt) {
      const result = await generateText({
        ...settings,
        output: Output.object({ schema: person, name: "person" }),
        prompt: prompt(`[[stub text=${JSON.stringify(ADA)}]]`),
      });
      return { output: result.output, warnings: result.warnings ?? [] };
    },

    async outputStreamed(prompt) {
      const result = streamText({
        ...settings,
        output: Output.object({ schema: person, name: "person" }),
        prompt: prompt(`[[stub text=${JSON.stringify(ADA)}]]`),
      });
      const partial = await collected(result.partialOutputStream);
      return { output: await result.output, grown: partial.length };
    },

    async outputAfterTools(prompt) {
      const answer = `[[stub text=${JSON.stringify(ADA)}]]`;
      const result = await generateText({
        ...looping,
        tools: { add: tool({ description: "?", inputSchema: add.parameters, execute: () => answer }) },
        output: Output.object({ schema: person, name: "person" }),
        prompt: prompt('[[stub call=add {"a": 1, "b": 2}]]'),
      });
      return { output: result.output, steps: result.steps.length };
    },

    async generateObject(prompt) {
      const result = await generateObject({
        ...settings,
        schema: person,
        schemaName: "person",
        prompt: prompt(`[[stub text=${JSON.stringify(ADA)}]]`),
      });
      return { output: result.object, warnings: result.warnings ?? [] };
    },

    async streamObject(prompt) {
      const result = streamObject({
        ...settings,
        schema: person,
        schemaName: "person",
        prompt: prompt(`[[stub text=${JSON.stringify(ADA)}]]`),
      });
      const partial = await collected(result.partialObjectStream);
      return { output: await result.object, grown: partial.length };
    },

    // Without a schema the SDK asks for json_object.
    async json(prompt) {
      const result = await generateText({
        ...settings,
        output: Output.json(),
        prompt: prompt(`[[stub text=${JSON.stringify(ADA)}]]`),
      });
      return { output: result.output };
    },

    async image(prompt) {
      const content = [
        { type: "text", text: prompt("[[stub text=A red pixel.]]") },
        { type: "file", mediaType: "image", data: Buffer.from(PNG, "base64") },
      ];
      const { text } = await generateText({ ...settings, messages: [{ role: "user", content }] });
      return { text };
    },

    async document(prompt) {
      const content = [
        { type: "file", mediaType: "application/pdf", filename: "empty.pdf", data: Buffer.from(PDF, "base64") },
        { type: "text", text: prompt("[[stub text=An empty page.]]") },
      ];
      const { text } = await generateText({ ...settings, messages: [{ role: "user", content }] });
      return { text };
    },

    async reasoning(prompt) {
      const result = await generateText({
        ...settings,
        reasoning: "high",
        prompt: prompt("[[stub thinking=Let me think. text=Done.]]"),
      });
      const { text, reasoningText, usage, warnings } = result;
      return { text, reasoning: reasoningText, usage: tokens(usage), warnings: warnings ?? [] };
    },

    async reasoningStreamed(prompt) {
      const result = streamText({ ...settings, prompt: prompt("[[stub thinking=Let me think. text=Done.]]") });
      const parts = await collected(result.stream);
      const order = parts.map(({ type }) => type).filter((type) => /^(reasoning|text)-(start|end)$/.test(type));
      return { text: await result.text, reasoning: texts(parts, "reasoning-delta").join(""), order };
    },

    // The thoughts of the first step are sent back with its calls.
    async reasoningBeforeTools(prompt) {
      const result = await generateText({ ...looping, prompt: prompt(`[[stub thinking=Two calls. ${TWO_CALLS}]]`) });
      return { text: result.text, reasoning: result.steps[0].reasoningText, steps: steps(result.steps) };
    },

    async refusedByTheModel(prompt) {
      const asked = generateText({
        ...settings,
        prompt: prompt("[[stub status=429 message=slow down retry-after=7]]"),
      });
      const { headers, ...seen } = await asked.catch(failed);
      return { ...seen, after: headers?.["retry-after"] };
    },

    async errorInTheStream(prompt) {
      const result = streamText({
        ...settings,
        prompt: prompt("[[stub text=a b c d deltas=4 error-after=2 message=too much]]"),
        onError: () => {},
      });
      const parts = [];
      const thrown = await collected(result.stream, parts).then(() => null, String);
      const errors = parts.filter(({ type }) => type === "error").map(({ error }) => error);
      const told = errors.map(({ message, code }) => ({ message, code }));
      const ends = parts.filter((part) => part.type === "finish").map((part) => part.finishReason);
      return { deltas: texts(parts, "text-delta"), errors: told, thrown, ends };
    },

    async abort(prompt) {
      const controller = new AbortController();
      const result = streamText({
        ...settings,
        abortSignal: controller.signal,
        prompt: prompt("[[stub text=a b c deltas=3 every=60]]"),
      });
      const types = [];
      for await (const { type } of result.stream) {
        types.push(type);
        if (type === "text-delta") controller.abort();
      }
      return { last: types.at(-1), idleAfter: await untilActive(baseURL, 0) };
    },
  };
}
