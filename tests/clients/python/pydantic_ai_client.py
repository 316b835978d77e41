"""
Pydantic AI: its agent, with functions, and with each of its ways to a typed answer.
"""

from __future__ import annotations

from typing import Any

from case import API_KEY, BASE_URL, IMAGE, MODEL, Person, add, case, documented, image_url, main, printed
from pydantic_ai import Agent, BinaryContent, ImageUrl, NativeOutput, PromptedOutput, ToolOutput
from pydantic_ai.messages import ModelMessage, ThinkingPart
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIChatModelSettings
from pydantic_ai.providers.openai import OpenAIProvider

model = OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=BASE_URL, api_key=API_KEY))
EFFORT = OpenAIChatModelSettings(openai_reasoning_effort="low")


def age_of(name: str) -> str:
    """Tell how old somebody is."""
    return f'[[stub call=final_result {{"name": "{name}", "age": 36}}]]'


@case
async def chat(prompt: str) -> Any:
    result = await Agent(model).run(prompt)
    assert result.usage.output_tokens > 0
    return {"text": result.output}


@case
async def stream(prompt: str) -> Any:
    async with Agent(model).run_stream(prompt) as answer:
        return {"deltas": [delta async for delta in answer.stream_text(delta=True, debounce_by=None)]}


@case
async def tools(prompt: str) -> Any:
    return {"text": (await Agent(model, tools=[add], instructions="Calculate.").run(prompt)).output}


@case
async def tools_streamed(prompt: str) -> Any:
    async with Agent(model, tools=[add], instructions="Calculate.").run_stream(prompt) as answer:
        return {"text": "".join([delta async for delta in answer.stream_text(delta=True)])}


async def typed(output_type: Any, prompt: str) -> Any:
    """Ask for a person in one of the ways."""
    return {"value": (await Agent(model, output_type=output_type).run(prompt)).output.model_dump()}


@case
async def schema_by_function(prompt: str) -> Any:
    return await typed(ToolOutput(Person), prompt)


@case
async def schema_by_response_format(prompt: str) -> Any:
    return await typed(NativeOutput(Person), prompt)


@case
async def schema_by_prompt(prompt: str) -> Any:
    return await typed(PromptedOutput(Person), prompt)


@case
async def schema_streamed(prompt: str) -> Any:
    """An object that is streamed; a part of it is shown only when it is valid."""
    async with Agent(model, output_type=NativeOutput(Person)).run_stream(prompt) as answer:
        *_, last = [value async for value in answer.stream_output(debounce_by=None)]
    return {"value": last.model_dump()}


@case
async def agent_by_function(prompt: str) -> Any:
    """An agent that uses its function, and then gives an object by a further one."""
    return {"value": (await Agent(model, tools=[age_of], output_type=Person).run(prompt)).output.model_dump()}


def thought(messages: list[ModelMessage]) -> list[str]:
    """Return what the model thought in a conversation."""
    return [part.content for message in messages for part in message.parts if isinstance(part, ThinkingPart)]


@case
async def reasoning(prompt: str) -> Any:
    result = await Agent(model, model_settings=EFFORT).run(prompt)
    return {"reasoning": "".join(thought(result.all_messages())), "text": result.output}


@case
async def reasoning_streamed(prompt: str) -> Any:
    async with Agent(model, model_settings=EFFORT).run_stream(prompt) as answer:
        text = await answer.get_output()
    return {"reasoning": "".join(thought(answer.all_messages())), "text": text}


@case
async def reasoning_before_tools(prompt: str) -> Any:
    """What was thought before the calls goes back with their results."""
    result = await Agent(model, tools=[add], model_settings=EFFORT).run(prompt)
    return {"reasoning": thought(result.all_messages()), "text": result.output}


@case
async def image(prompt: str) -> Any:
    picture = BinaryContent(IMAGE.read_bytes(), media_type="image/png")
    return {"text": (await Agent(model).run([prompt, picture])).output}


@case
async def image_by_url(prompt: str) -> Any:
    return {"text": (await Agent(model).run([prompt, ImageUrl(image_url())])).output}


@case
def recipe(prompt: str) -> Any:
    return {"text": printed(documented("Pydantic AI", "python"))}


main()
