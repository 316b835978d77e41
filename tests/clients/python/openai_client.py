"""
The openai package: its plain calls, its helpers that parse, and its asynchronous client.
"""

from __future__ import annotations

import json
from typing import Any

from case import API_KEY, BASE_URL, MODEL, Person, add, case, documented, image_url, main, printed
from openai import AsyncOpenAI, OpenAI, pydantic_function_tool
from pydantic import BaseModel

completions = OpenAI(base_url=BASE_URL, api_key=API_KEY, max_retries=0).chat.completions
completions_async = AsyncOpenAI(base_url=BASE_URL, api_key=API_KEY, max_retries=0).chat.completions

PERSON: Any = {
    "type": "json_schema",
    "json_schema": {
        "name": "person",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
            "required": ["name", "age"],
            "additionalProperties": False,
        },
    },
}


class Add(BaseModel):
    """Add two numbers."""

    a: int
    b: int


ADD = pydantic_function_tool(Add, name="add")


def user(content: Any) -> list[Any]:
    """Return the messages of a new conversation."""
    return [{"role": "user", "content": content}]


def results(answer: Any) -> list[Any]:
    """Run what an answer calls, and return the messages that go back."""
    back: list[Any] = [answer]
    for call in answer.tool_calls:
        told = str(add(**json.loads(call.function.arguments)))
        back.append({"role": "tool", "tool_call_id": call.id, "content": told})
    return back


@case
def chat(prompt: str) -> Any:
    completion = completions.create(model=MODEL, messages=user(prompt))
    assert completion.usage.total_tokens > 0
    return {"text": completion.choices[0].message.content}


@case
async def chat_async(prompt: str) -> Any:
    completion = await completions_async.create(model=MODEL, messages=user(prompt))
    return {"text": completion.choices[0].message.content}


@case
def stream(prompt: str) -> Any:
    options: Any = {"include_usage": True}
    chunks = list(completions.create(model=MODEL, messages=user(prompt), stream=True, stream_options=options))
    assert chunks[-1].usage.total_tokens > 0
    said = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    return {"deltas": [delta for delta in said if delta]}


@case
async def stream_async(prompt: str) -> Any:
    """The stream helper of the asynchronous client."""
    deltas = []
    async with completions_async.stream(model=MODEL, messages=user(prompt)) as events:
        async for event in events:
            if event.type == "content.delta" and event.delta:
                deltas.append(event.delta)
        whole = await events.get_final_completion()
    assert whole.choices[0].message.content == "".join(deltas)
    return {"deltas": deltas}


@case
def tools(prompt: str) -> Any:
    messages = user(prompt)
    while True:
        answer = completions.create(model=MODEL, messages=messages, tools=[ADD]).choices[0].message
        if not answer.tool_calls:
            return {"text": answer.content}
        messages += results(answer)


@case
async def tools_async(prompt: str) -> Any:
    messages = user(prompt)
    while True:
        completion = await completions_async.create(model=MODEL, messages=messages, tools=[ADD])
        answer = completion.choices[0].message
        if not answer.tool_calls:
            return {"text": answer.content}
        messages += results(answer)


@case
def tools_parsed(prompt: str) -> Any:
    """The arguments as objects of the model that describes the function."""
    messages = user(prompt)
    while True:
        answer = completions.parse(model=MODEL, messages=messages, tools=[ADD]).choices[0].message
        if not answer.tool_calls:
            return {"text": answer.content}
        assert all(isinstance(call.function.parsed_arguments, Add) for call in answer.tool_calls)
        messages += results(answer)


@case
def tools_streamed(prompt: str) -> Any:
    """The stream helper, which tells of each call when it is complete."""
    messages = user(prompt)
    while True:
        done = []
        with completions.stream(model=MODEL, messages=messages, tools=[ADD]) as events:
            for event in events:
                if event.type == "tool_calls.function.arguments.done":
                    done.append(event.parsed_arguments)
            answer = events.get_final_completion().choices[0].message
        if not answer.tool_calls:
            return {"text": answer.content}
        assert done == [call.function.parsed_arguments for call in answer.tool_calls]
        messages += results(answer)


@case
def schema(prompt: str) -> Any:
    completion = completions.create(model=MODEL, messages=user(prompt), response_format=PERSON)
    return {"value": json.loads(completion.choices[0].message.content)}


@case
def schema_parsed(prompt: str) -> Any:
    completion = completions.parse(model=MODEL, messages=user(prompt), response_format=Person)
    return {"value": completion.choices[0].message.parsed.model_dump()}


@case
def schema_streamed(prompt: str) -> Any:
    """The stream helper, which parses what there is so far."""
    with completions.stream(model=MODEL, messages=user(prompt), response_format=Person) as events:
        partial = [event.parsed for event in events if event.type == "content.delta"]
        message = events.get_final_completion().choices[0].message
    return {"value": message.parsed.model_dump(), "partial": [part for part in partial if part]}


@case
def schema_beside_tools(prompt: str) -> Any:
    """A request that offers functions and wants an object."""
    messages = user(prompt)
    while True:
        completion = completions.parse(model=MODEL, messages=messages, tools=[ADD], response_format=Person)
        answer = completion.choices[0].message
        if not answer.tool_calls:
            return {"value": answer.parsed.model_dump()}
        messages += results(answer)


@case
def json_object(prompt: str) -> Any:
    form: Any = {"type": "json_object"}
    completion = completions.create(model=MODEL, messages=user(prompt), response_format=form)
    return {"value": json.loads(completion.choices[0].message.content)}


@case
def reasoning(prompt: str) -> Any:
    """What the model thought, in a field that the package knows nothing of."""
    raw = completions.with_raw_response.create(model=MODEL, messages=user(prompt), reasoning_effort="low")
    completion = raw.parse()
    assert float(raw.headers["X-Claude-Cost-USD"]) == completion.usage.cost > 0
    message = completion.choices[0].message
    return {"reasoning": message.reasoning_content, "text": message.content}


@case
def reasoning_streamed(prompt: str) -> Any:
    options: Any = {"include_usage": True}
    with completions.stream(
        model=MODEL, messages=user(prompt), reasoning_effort="low", stream_options=options
    ) as events:
        completion = events.get_final_completion()
    assert completion.usage.cost > 0
    message = completion.choices[0].message
    return {"reasoning": message.reasoning_content, "text": message.content}


@case
def image(prompt: str) -> Any:
    parts = [{"type": "text", "text": prompt}, {"type": "image_url", "image_url": {"url": image_url()}}]
    return {"text": completions.create(model=MODEL, messages=user(parts)).choices[0].message.content}


@case
def recipe(prompt: str) -> Any:
    return {"text": printed(documented("openai", "python"))}


main()
