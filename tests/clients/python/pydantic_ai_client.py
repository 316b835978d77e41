"""
Pydantic AI: its agent, with functions, and with each of its ways to a typed answer.
"""

from __future__ import annotations

from typing import Any

from case import API_KEY, BASE_URL, IMAGE, MODEL, PROMPT, Person, add, case, image_url, main
from pydantic_ai import Agent, BinaryContent, ImageUrl, NativeOutput, PromptedOutput, ToolOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

model = OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=BASE_URL, api_key=API_KEY))


def age_of(name: str) -> str:
    """Tell how old somebody is."""
    return f"[[stub call=final_result {{\"name\": \"{name}\", \"age\": 36}}]]"


@case
async def chat() -> Any:
    result = await Agent(model).run(PROMPT)
    assert result.usage.output_tokens > 0
    return {"text": result.output}


@case
async def stream() -> Any:
    async with Agent(model).run_stream(PROMPT) as answer:
        return {"deltas": [delta async for delta in answer.stream_text(delta=True, debounce_by=None)]}


@case
async def tools() -> Any:
    return {"text": (await Agent(model, tools=[add], instructions="Calculate.").run(PROMPT)).output}


@case
async def tools_streamed() -> Any:
    async with Agent(model, tools=[add], instructions="Calculate.").run_stream(PROMPT) as answer:
        return {"text": "".join([delta async for delta in answer.stream_text(delta=True)])}


async def typed(output_type: Any) -> Any:
    """Ask for a person in one of the ways."""
    output = (await Agent(model, output_type=output_type).run(PROMPT)).output
    assert isinstance(output, Person)
    return {"value": output.model_dump()}


@case
async def schema_by_tool() -> Any:
    return await typed(ToolOutput(Person))


@case
async def schema_native() -> Any:
    return await typed(NativeOutput(Person))


@case
async def schema_prompted() -> Any:
    return await typed(PromptedOutput(Person))


@case
async def schema_streamed() -> Any:
    """A structured answer as it grows."""
    async with Agent(model, output_type=NativeOutput(Person)).run_stream(PROMPT) as answer:
        async for _ in answer.stream_output(debounce_by=None):
            pass
        return {"value": (await answer.get_output()).model_dump()}


@case
async def tools_then_schema() -> Any:
    """An agent that uses its tool and then answers in a form."""
    return {"value": (await Agent(model, tools=[age_of], output_type=Person).run(PROMPT)).output.model_dump()}


@case
async def image() -> Any:
    return {"text": (await Agent(model).run([PROMPT, BinaryContent(IMAGE.read_bytes(), media_type="image/png")])).output}


@case
async def image_by_url() -> Any:
    return {"text": (await Agent(model).run([PROMPT, ImageUrl(image_url())])).output}


main()
