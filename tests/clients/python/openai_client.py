"""
The openai package: its plain calls, its helpers that parse, and its asynchronous client.
"""

from __future__ import annotations

import json
from typing import Any

from case import API_KEY, BASE_URL, MODEL, PROMPT, Person, add, case, image_url, main
from openai import AsyncOpenAI, OpenAI, pydantic_function_tool
from pydantic import BaseModel

client = OpenAI(base_url=BASE_URL, api_key=API_KEY, max_retries=0)
MESSAGES: list[Any] = [{"role": "user", "content": PROMPT}]
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


def results(message: Any) -> list[Any]:
    """Run what an answer calls, and return the messages that go back."""
    back: list[Any] = [message]
    for call in message.tool_calls:
        told = str(add(**json.loads(call.function.arguments)))
        back.append({"role": "tool", "tool_call_id": call.id, "content": told})
    return back


@case
def chat() -> Any:
    completion = client.chat.completions.create(model=MODEL, messages=MESSAGES)
    assert completion.usage is not None and completion.usage.total_tokens > 0
    return {"text": completion.choices[0].message.content}


@case
def stream() -> Any:
    usage = {"include_usage": True}
    chunks = client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True, stream_options=usage)
    seen = list(chunks)
    assert seen[-1].usage is not None and seen[-1].usage.total_tokens > 0
    return {"deltas": [chunk.choices[0].delta.content for chunk in seen if chunk.choices if chunk.choices[0].delta.content]}


@case
async def chat_async() -> Any:
    async with AsyncOpenAI(base_url=BASE_URL, api_key=API_KEY, max_retries=0) as own:
        completion = await own.chat.completions.create(model=MODEL, messages=MESSAGES)
    return {"text": completion.choices[0].message.content}


@case
async def stream_async() -> Any:
    deltas = []
    async with AsyncOpenAI(base_url=BASE_URL, api_key=API_KEY, max_retries=0) as own:
        async with own.chat.completions.stream(model=MODEL, messages=MESSAGES) as events:
            async for event in events:
                if event.type == "content.delta":
                    deltas.append(event.delta)
            whole = await events.get_final_completion()
    assert whole.choices[0].message.content == "".join(deltas)
    return {"deltas": deltas}


@case
def tools() -> Any:
    messages = MESSAGES
    while True:
        answer = client.chat.completions.create(model=MODEL, messages=messages, tools=[ADD]).choices[0].message
        if not answer.tool_calls:
            return {"text": answer.content}
        messages = [*messages, *results(answer)]


@case
def tools_parsed() -> Any:
    """The arguments as objects of the model that the function was described by."""
    messages = MESSAGES
    while True:
        answer = client.chat.completions.parse(model=MODEL, messages=messages, tools=[ADD]).choices[0].message
        if not answer.tool_calls:
            return {"text": answer.content}
        assert all(isinstance(call.function.parsed_arguments, Add) for call in answer.tool_calls)
        messages = [*messages, *results(answer)]


@case
def tools_streamed() -> Any:
    """The stream helper, which tells of each call when it is complete."""
    messages = MESSAGES
    while True:
        done = []
        with client.chat.completions.stream(model=MODEL, messages=messages, tools=[ADD]) as events:
            for event in events:
                if event.type == "tool_calls.function.arguments.done":
                    done.append(event.parsed_arguments)
            answer = events.get_final_completion().choices[0].message
        if not answer.tool_calls:
            return {"text": answer.content}
        assert done == [call.function.parsed_arguments for call in answer.tool_calls]
        messages = [*messages, *results(answer)]


@case
async def tools_async() -> Any:
    messages = MESSAGES
    async with AsyncOpenAI(base_url=BASE_URL, api_key=API_KEY, max_retries=0) as own:
        while True:
            completion = await own.chat.completions.create(model=MODEL, messages=messages, tools=[ADD])
            answer = completion.choices[0].message
            if not answer.tool_calls:
                return {"text": answer.content}
            messages = [*messages, *results(answer)]


@case
def schema() -> Any:
    completion = client.chat.completions.create(model=MODEL, messages=MESSAGES, response_format=PERSON)
    return {"value": json.loads(completion.choices[0].message.content or "")}


@case
def schema_parsed() -> Any:
    message = client.chat.completions.parse(model=MODEL, messages=MESSAGES, response_format=Person).choices[0].message
    assert isinstance(message.parsed, Person)
    return {"value": message.parsed.model_dump()}


@case
def schema_streamed() -> Any:
    """The stream helper, which parses what there is so far."""
    partial: list[Any] = []
    with client.chat.completions.stream(model=MODEL, messages=MESSAGES, response_format=Person) as events:
        for event in events:
            if event.type == "content.delta":
                partial.append(event.parsed)
        message = events.get_final_completion().choices[0].message
    assert isinstance(message.parsed, Person)
    return {"value": message.parsed.model_dump(), "partial": partial}


@case
def json_object() -> Any:
    form: Any = {"type": "json_object"}
    completion = client.chat.completions.create(model=MODEL, messages=MESSAGES, response_format=form)
    return {"value": json.loads(completion.choices[0].message.content or "")}


@case
def image() -> Any:
    parts = [{"type": "text", "text": PROMPT}, {"type": "image_url", "image_url": {"url": image_url()}}]
    completion = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": parts}])
    return {"text": completion.choices[0].message.content}


main()
