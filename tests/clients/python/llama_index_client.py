"""
LlamaIndex: its model of servers like OpenAI's, its structured prediction, its agent.
"""

from __future__ import annotations

from typing import Any

from case import API_KEY, BASE_URL, IMAGE, MODEL, Person, add, case, documented, main, printed
from llama_index.core.agent.workflow import AgentStream, FunctionAgent
from llama_index.core.base.llms.types import ThinkingBlock
from llama_index.core.llms import ChatMessage, ImageBlock, TextBlock
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike

ADD = FunctionTool.from_defaults(add)
ASK = PromptTemplate("{asked}")


def model(*, structured: bool = False) -> OpenAILike:
    """Return the model; ``structured`` has it ask for objects by ``response_format`` and not by a function."""
    return OpenAILike(
        model=MODEL,
        api_base=BASE_URL,
        api_key=API_KEY,
        context_window=200_000,
        is_chat_model=True,
        is_function_calling_model=True,
        should_use_structured_outputs=structured,
        max_retries=0,
    )


def user(prompt: str) -> list[ChatMessage]:
    """Return the messages of a new conversation."""
    return [ChatMessage(role="user", content=prompt)]


@case
def chat(prompt: str) -> Any:
    return {"text": model().chat(user(prompt)).message.content}


@case
def complete(prompt: str) -> Any:
    return {"text": model().complete(prompt).text}


@case
def stream(prompt: str) -> Any:
    return {"deltas": [chunk.delta for chunk in model().stream_chat(user(prompt)) if chunk.delta]}


@case
async def stream_async(prompt: str) -> Any:
    return {"deltas": [chunk.delta async for chunk in await model().astream_chat(user(prompt)) if chunk.delta]}


@case
def tools_at_once(prompt: str) -> Any:
    """The calls of one answer are run, and that is all."""
    answer = model().predict_and_call([ADD], user_msg=prompt, allow_parallel_tool_calls=True)
    return {"results": [source.raw_output for source in answer.sources]}


@case
async def tools(prompt: str) -> Any:
    return {"text": str(await FunctionAgent(tools=[ADD], llm=model(), streaming=False).run(prompt))}


@case
async def tools_streamed(prompt: str) -> Any:
    """The agent's words as the model says them."""
    said = ""
    run = FunctionAgent(tools=[ADD], llm=model()).run(prompt)
    async for event in run.stream_events():
        if isinstance(event, AgentStream):
            said += event.delta
    assert str(await run) in said
    return {"text": said}


@case
def schema_by_function(prompt: str) -> Any:
    return {"value": model().structured_predict(Person, ASK, asked=prompt).model_dump()}


@case
def schema_by_response_format(prompt: str) -> Any:
    return {"value": model(structured=True).structured_predict(Person, ASK, asked=prompt).model_dump()}


@case
def schema_streamed(prompt: str) -> Any:
    """An object that grows."""
    parts = model(structured=True).stream_structured_predict(Person, ASK, asked=prompt)
    partial = [part.model_dump() for part in parts]
    return {"value": partial[-1], "partial": partial}


def thought_and_said(message: ChatMessage) -> Any:
    """Return the blocks of an answer, by kind."""
    thought = "".join(block.content for block in message.blocks if isinstance(block, ThinkingBlock))
    return {"reasoning": thought, "text": message.content}


@case
def reasoning(prompt: str) -> Any:
    return thought_and_said(model().chat(user(prompt), reasoning_effort="low").message)


@case
def reasoning_streamed(prompt: str) -> Any:
    *_, last = model().stream_chat(user(prompt), reasoning_effort="low")
    return thought_and_said(last.message)


@case
def image(prompt: str) -> Any:
    blocks = [TextBlock(text=prompt), ImageBlock(path=IMAGE, image_mimetype="image/png")]
    return {"text": model().chat([ChatMessage(role="user", blocks=blocks)]).message.content}


@case
def recipe(prompt: str) -> Any:
    return {"text": printed(documented("LlamaIndex", "python"))}


main()
